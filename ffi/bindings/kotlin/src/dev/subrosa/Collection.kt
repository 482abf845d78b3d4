package dev.subrosa

import java.nio.ByteBuffer
import kotlinx.coroutines.flow.Flow

/** A record that was read, with its id. */
public data class Row(
    /** Its id. */
    public val id: RecordId,
    /** What it says. */
    public val fields: Fields,
)

/** A record that was read as JSON, with its id. */
public data class JsonRow(
    /** Its id. */
    public val id: RecordId,
    /** What it says. */
    public val json: String,
)

/**
 * Records under one name. Calls are synchronous and never wait for the network; a write is on disk when it returns, so an
 * application with a user interface writes on a dispatcher for I/O. May be used by several threads.
 *
 * Without `tx` every call is a transaction of its own; with one it is a part of that.
 */
public class Collection internal constructor(
    token: Long,
    /** The vault that it is in; kept open by it. */
    public val vault: Vault,
    /** Its name. */
    public val name: String,
) : AutoCloseable {
    internal val handle = Handle(token, "collection", close = Native::collectionClose)

    /** Stores a new record; its id. */
    public fun insert(fields: Fields, tx: Transaction? = null): RecordId = writeMany(tx) { insert(fields) }.single()

    /** Sets these fields of a record and leaves its others; makes the record if there is none. */
    public fun put(id: RecordId, fields: Fields, tx: Transaction? = null) {
        writeMany(tx) { put(id, fields) }
    }

    /** Sets these fields of a record and removes its others. */
    public fun replace(id: RecordId, fields: Fields, tx: Transaction? = null) {
        writeMany(tx) { replace(id, fields) }
    }

    /** The record, or null. */
    public fun get(id: RecordId, tx: Transaction? = null): Fields? = getMany(listOf(id), tx).single()

    /** Whether the record existed; it does not any more. */
    public fun delete(id: RecordId, tx: Transaction? = null): Boolean =
        with(tx) { c, t -> Native.delete(c, t, id.high, id.low) }

    /** The names of the fields behind [after], at most [limit], of a record of any size; null if there is no record. */
    public fun fieldNames(id: RecordId, after: String? = null, limit: Int = PAGE, tx: Transaction? = null): List<String>? {
        val list = with(tx) { c, t -> Native.fieldNames(c, t, id.high, id.low, after?.let { utf8(it) }, limit) }
        return if (list == 0L) null else listOfNative(list) { names, index -> Native.listText(names, index).decodeToString() }
    }

    /** One field of a record of any size, as a [Record] with this field alone, which the caller closes; null if there is none. */
    public fun getField(id: RecordId, field: String, tx: Transaction? = null): Record? =
        with(tx) { c, t -> Native.getField(c, t, id.high, id.low, utf8(field)) }.let { if (it == 0L) null else Record.of(it) }

    /** One field of a record of any size, as JSON; null if there is none. */
    public fun getFieldJson(id: RecordId, field: String, tx: Transaction? = null): String? =
        with(tx) { c, t -> Native.getFieldJson(c, t, id.high, id.low, utf8(field))?.decodeToString() }

    /** Deletes one field of a record of any size; whether there was one. The record stays. */
    public fun deleteField(id: RecordId, field: String, tx: Transaction? = null): Boolean =
        with(tx) { c, t -> Native.deleteField(c, t, id.high, id.low, utf8(field)) }

    /** How many records there are. Reads them all. */
    public fun count(tx: Transaction? = null): Long = with(tx) { c, t -> Native.count(c, t) }

    /** As [insert], from JSON. */
    public fun insertJson(json: String, tx: Transaction? = null): RecordId =
        with(tx) { c, t -> RecordId.at(Native.insertJson(c, t, utf8(json)), 0) }

    /** As [put], from JSON. */
    public fun putJson(id: RecordId, json: String, tx: Transaction? = null) {
        with(tx) { c, t -> Native.putJson(c, t, id.high, id.low, utf8(json)) }
    }

    /** As [replace], from JSON. */
    public fun replaceJson(id: RecordId, json: String, tx: Transaction? = null) {
        with(tx) { c, t -> Native.replaceJson(c, t, id.high, id.low, utf8(json)) }
    }

    /** The record as compact JSON with sorted keys, or null. */
    public fun getJson(id: RecordId, tx: Transaction? = null): String? =
        with(tx) { c, t -> Native.getJson(c, t, id.high, id.low)?.decodeToString() }

    /** As [insert], from a [Record], which stays the caller's. */
    public fun insert(record: Record, tx: Transaction? = null): RecordId =
        record.handle.call { r -> with(tx) { c, t -> RecordId.at(Native.insert(c, t, r), 0) } }

    /** As [put], from a [Record]. */
    public fun put(id: RecordId, record: Record, tx: Transaction? = null) {
        record.handle.call { r -> with(tx) { c, t -> Native.put(c, t, id.high, id.low, r) } }
    }

    /** As [replace], from a [Record]. */
    public fun replace(id: RecordId, record: Record, tx: Transaction? = null) {
        record.handle.call { r -> with(tx) { c, t -> Native.replace(c, t, id.high, id.low, r) } }
    }

    /** The record as a [Record] that the caller closes, or null. */
    public fun getRecord(id: RecordId, tx: Transaction? = null): Record? =
        with(tx) { c, t -> Native.get(c, t, id.high, id.low) }.let { if (it == 0L) null else Record.of(it) }

    /** The records with these ids, null where there is none; in the order of [ids], of one snapshot. At most 65,536. */
    public fun getMany(ids: List<RecordId>, tx: Transaction? = null): List<Fields?> =
        lookUp(ids, Packed.FORMAT_FIELDS, tx) { it.fields() }

    /** As [getMany], as JSON. */
    public fun getManyJson(ids: List<RecordId>, tx: Transaction? = null): List<String?> =
        lookUp(ids, Packed.FORMAT_JSON, tx) { it.json() }

    /** Stores new records, all or none; their ids, in the order of [records]. At most 65,536 or 64 MiB. */
    public fun insertMany(records: Iterable<Fields>, tx: Transaction? = null): List<RecordId> =
        writeMany(tx) { records.forEach { insert(it) } }

    /** What [build] says, all or nothing; the id of each row. At most 65,536 rows or 64 MiB. */
    public fun writeMany(tx: Transaction? = null, build: Batch.() -> Unit): List<RecordId> {
        val rows = Batch().apply(build).rows
        if (rows.rows == 0) return emptyList()
        return with(tx) { c, t -> RecordId.all(Native.writeMany(c, t, rows.bytes, rows.size)) }
    }

    /**
     * What the packed rows (format: `subrosa.h`) between position and limit of [rows] say, all or nothing; the id of each row. For
     * who packs rows himself: a direct buffer is not copied. The buffer's position stays.
     */
    public fun writeRows(rows: ByteBuffer, tx: Transaction? = null): List<RecordId> =
        with(tx) { c, t ->
            val ids =
                if (rows.isDirect) {
                    Native.writeManyDirect(c, t, rows, rows.position(), rows.remaining())
                } else {
                    val copy = ByteArray(rows.remaining()).also { rows.duplicate().get(it) }
                    Native.writeMany(c, t, copy, copy.size)
                }
            RecordId.all(ids)
        }

    /**
     * All records in the order of their ids, read in pages of [pageSize] as the sequence is consumed. Without [tx] each page is a
     * snapshot of its own. May be iterated more than once. A record that is larger than is read whole is a
     * [SubrosaException.RECORD_TOO_LARGE] in its place: go on with its [SubrosaException.record] as [after].
     */
    public fun scan(pageSize: Int = PAGE, tx: Transaction? = null, after: RecordId? = null): Sequence<Row> =
        pages(pageSize, Packed.FORMAT_FIELDS, tx, after) { Row(it.id, it.fields()) }

    /** As [scan], as JSON. */
    public fun scanJson(pageSize: Int = PAGE, tx: Transaction? = null, after: RecordId? = null): Sequence<JsonRow> =
        pages(pageSize, Packed.FORMAT_JSON, tx, after) { JsonRow(it.id, it.json()) }

    /**
     * What changes from when the flow is collected, by this device or another. [onWatching] runs then, before the first change:
     * what it reads misses nothing. Ends when the device is closed.
     */
    public fun changes(onWatching: suspend () -> Unit = {}): Flow<Change> =
        changesOf(source(), onWatching)

    /**
     * What [read] gives, at once and again after changes; several changes may be one reading, and a slow collector gets only the
     * latest. [read] runs on a thread for I/O. While the device is suspended nothing is read. Ends when the device is closed.
     */
    public fun <T> observe(read: (Collection) -> T): Flow<T> =
        observed(vault.device, source()) { read(this) }

    private fun source() = Source(vault.device.handle::isOpen) { events -> handle.call { Native.eventsAddCollection(events, it, 0) } }

    override fun close() {
        handle.close()
    }

    private inline fun <T> with(tx: Transaction?, body: (Long, Long) -> T): T =
        handle.call { c -> if (tx == null) body(c, 0) else tx.handle.call { t -> body(c, t) } }

    private inline fun <T> lookUp(ids: List<RecordId>, format: Int, tx: Transaction?, read: (RowReader) -> T): List<T?> {
        val packed = ByteArray(ids.size * RecordId.SIZE)
        ids.forEachIndexed { index, id -> id.writeTo(packed, index * RecordId.SIZE) }
        val rows = RowReader(with(tx) { c, t -> Native.getMany(c, t, packed, ids.size, format) })
        return List(ids.size) { if (isRecord(rows, rows.next())) read(rows) else null }
    }

    /** Whether a row has a record; one that is larger than is read whole is refused. */
    private fun isRecord(rows: RowReader, op: Int): Boolean {
        if (op == Packed.OP_TOO_LARGE) {
            val message = "a record is larger than is read at once: read it field by field"
            throw SubrosaException(SubrosaException.RECORD_TOO_LARGE, message, record = rows.id)
        }
        return op == Packed.OP_RECORD
    }

    private fun <T> pages(pageSize: Int, format: Int, tx: Transaction?, start: RecordId?, read: (RowReader) -> T): Sequence<T> =
        sequence {
            var after = start?.toBytes() ?: ByteArray(0)
            val more = booleanArrayOf(true)
            while (more[0]) {
                val rows = RowReader(with(tx) { c, t -> Native.page(c, t, after, pageSize, format, more) })
                while (isRecord(rows, rows.next())) yield(read(rows))
                after = rows.id.toBytes()
            }
        }

    private companion object {
        const val PAGE = 1000
    }
}

/** Writes for [Collection.writeMany]. */
public class Batch internal constructor() {
    internal val rows = RowWriter()

    /** A new record. */
    public fun insert(fields: Fields) {
        rows.fields(Packed.OP_INSERT, null, fields)
    }

    /** A new record, from JSON. */
    public fun insertJson(json: String) {
        rows.json(Packed.OP_INSERT, null, json)
    }

    /** Sets these fields and leaves others. */
    public fun put(id: RecordId, fields: Fields) {
        rows.fields(Packed.OP_PUT, id, fields)
    }

    /** Sets these fields and leaves others, from JSON. */
    public fun putJson(id: RecordId, json: String) {
        rows.json(Packed.OP_PUT, id, json)
    }

    /** Sets these fields and removes others. */
    public fun replace(id: RecordId, fields: Fields) {
        rows.fields(Packed.OP_REPLACE, id, fields)
    }

    /** Sets these fields and removes others, from JSON. */
    public fun replaceJson(id: RecordId, json: String) {
        rows.json(Packed.OP_REPLACE, id, json)
    }

    /** As [put], for a record that was exported: it may have more fields than a write may add. */
    public fun import(id: RecordId, fields: Fields) {
        rows.fields(Packed.OP_IMPORT, id, fields)
    }

    /** As [import], from JSON. */
    public fun importJson(id: RecordId, json: String) {
        rows.json(Packed.OP_IMPORT, id, json)
    }

    /** Removes the record, if there is one. */
    public fun delete(id: RecordId) {
        rows.delete(id)
    }
}
