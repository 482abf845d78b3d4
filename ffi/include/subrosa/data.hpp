// Records, collections, transactions, vaults. Included by subrosa.hpp.
#ifndef SUBROSA_DATA_HPP
#define SUBROSA_DATA_HPP

#include "base.hpp"

namespace subrosa {

// One thread at a time, as a transaction.
class record : public detail::handle<subrosa_record, subrosa_record_close> {
 public:
  record() noexcept {}  // no record: make one with make() or from_json()
  explicit record(subrosa_record *raw) noexcept : handle(raw) {}
  static record make() {
    detail::trial t;
    subrosa_record *out = nullptr;
    t(subrosa_record_new(&out, t.slot()));
    return record(out);
  }
  static record from_json(const std::string &json) {
    detail::trial t;
    subrosa_record *out = nullptr;
    t(subrosa_record_from_json(json.data(), json.size(), &out, t.slot()));
    return record(out);
  }
  std::string to_json() const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_record_to_json(raw(), out.out(), t.slot()));
    return out.text();
  }
  // Each named for its kind: overloads of set() would turn a string literal into a bool.
  record &set_null(const std::string &field) {
    detail::trial t;
    t(subrosa_record_set_null(raw(), field.data(), field.size(), t.slot()));
    return *this;
  }
  record &set_bool(const std::string &field, bool value) {
    detail::trial t;
    t(subrosa_record_set_bool(raw(), field.data(), field.size(), value, t.slot()));
    return *this;
  }
  record &set_i64(const std::string &field, std::int64_t value) {
    detail::trial t;
    t(subrosa_record_set_i64(raw(), field.data(), field.size(), value, t.slot()));
    return *this;
  }
  record &set_f64(const std::string &field, double value) {
    detail::trial t;
    t(subrosa_record_set_f64(raw(), field.data(), field.size(), value, t.slot()));
    return *this;
  }
  record &set_text(const std::string &field, const std::string &value) {
    detail::trial t;
    t(subrosa_record_set_text(raw(), field.data(), field.size(), value.data(), value.size(), t.slot()));
    return *this;
  }
  record &set_bytes(const std::string &field, const bytes &value) {
    detail::trial t;
    t(subrosa_record_set_bytes(raw(), field.data(), field.size(), value.data(), value.size(), t.slot()));
    return *this;
  }
  record &set_json(const std::string &field, const std::string &json) {
    detail::trial t;
    t(subrosa_record_set_json(raw(), field.data(), field.size(), json.data(), json.size(), t.slot()));
    return *this;
  }
  bool remove(const std::string &field) {
    bool existed = false;
    detail::trial t;
    t(subrosa_record_remove(raw(), field.data(), field.size(), &existed, t.slot()));
    return existed;
  }
  std::size_t size() const {
    std::size_t out = 0;
    detail::trial t;
    t(subrosa_record_len(raw(), &out, t.slot()));
    return out;
  }
  // Names in their order, with SUBROSA_KIND_*.
  std::vector<std::pair<std::string, std::int32_t>> fields() const {
    std::vector<std::pair<std::string, std::int32_t>> all;
    for (std::size_t i = 0, n = size(); i < n; i++) {
      const char *name = nullptr;
      std::size_t len = 0;
      std::int32_t kind = 0;
      detail::trial t;
      t(subrosa_record_field_view(raw(), i, &name, &len, &kind, t.slot()));
      all.emplace_back(len == 0 ? std::string() : std::string(name, len), kind);
    }
    return all;
  }
  std::int32_t kind(const std::string &field) const {
    std::int32_t out = 0;
    detail::trial t;
    t(subrosa_record_kind(raw(), field.data(), field.size(), &out, t.slot()));
    return out;
  }
  bool get_bool(const std::string &field) const {
    bool out = false;
    detail::trial t;
    t(subrosa_record_get_bool(raw(), field.data(), field.size(), &out, t.slot()));
    return out;
  }
  std::int64_t get_i64(const std::string &field) const {
    std::int64_t out = 0;
    detail::trial t;
    t(subrosa_record_get_i64(raw(), field.data(), field.size(), &out, t.slot()));
    return out;
  }
  double get_f64(const std::string &field) const {
    double out = 0;
    detail::trial t;
    t(subrosa_record_get_f64(raw(), field.data(), field.size(), &out, t.slot()));
    return out;
  }
  std::string get_text(const std::string &field) const {
    const char *text = nullptr;
    std::size_t len = 0;
    detail::trial t;
    t(subrosa_record_get_text_view(raw(), field.data(), field.size(), &text, &len, t.slot()));
    return len == 0 ? std::string() : std::string(text, len);
  }
  bytes get_bytes(const std::string &field) const {
    const std::uint8_t *data = nullptr;
    std::size_t len = 0;
    detail::trial t;
    t(subrosa_record_get_bytes_view(raw(), field.data(), field.size(), &data, &len, t.slot()));
    return len == 0 ? bytes() : bytes(data, data + len);
  }
  std::string get_json(const std::string &field) const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_record_get_json(raw(), field.data(), field.size(), out.out(), t.slot()));
    return out.text();
  }
};

// Aborted when it goes without commit(). One thread at a time.
class transaction : public detail::handle<subrosa_tx, subrosa_tx_abort> {
 public:
  transaction() noexcept {}
  explicit transaction(subrosa_tx *raw) noexcept : handle(raw) {}
  // When it throws, nothing was written and the transaction is over; after SUBROSA_BUSY, because another thread is in a call
  // on it, it goes on.
  void commit() {
    detail::trial t;
    const std::int32_t status = subrosa_tx_commit(raw(), t.slot());
    if (status != SUBROSA_BUSY) release();
    t(status);
  }
  void abort() noexcept { reset(); }
};

struct member {
  std::string name;
  std::int32_t role;  // SUBROSA_ROLE_*
  bool is_this;
  subrosa::public_key public_key;
};

// A device whose store was copied or put back from a backup, and went on twice. All of it is kept and merged.
struct forks_of_device {
  std::string name;  // empty if it is not listed
  bool is_this;
  subrosa::public_key public_key;
  std::uint64_t logs;     // so many of its logs have several futures
  std::uint64_t futures;  // so many futures they have beyond one each
};

// Edits of a device that were made more than five minutes ahead of this device's clock.
struct held_of_device {
  std::string name;  // empty if it is not listed
  subrosa::public_key public_key;
  std::uint64_t groups;
  std::uint64_t until_ms;  // when the first of them is merged, in Unix milliseconds
};

struct held_groups {
  std::vector<held_of_device> devices;
  bool clock_is_late;  // everybody's are held: it is probably this device's own clock that is wrong
};

// A vault with which not all is well at the relay.
struct vault_at_relay {
  vault_id vault;
  std::int32_t refused;  // code of the relay's last refusal; 0 for none
  std::string rests;     // why it rests while the others go on; empty if it does not
  bool disagrees;        // the relay hides something of it, or has lost it
  bool disputed;         // the relay says that it holds another future of this device's log, and shows none
  bool update_needed;    // nothing is sent before an update
};

namespace detail {
class list : public handle<subrosa_list, subrosa_list_close> {
 public:
  explicit list(subrosa_list *raw) noexcept : handle(raw) {}
  std::size_t size() const { return subrosa_list_len(raw()); }
  std::string text(std::size_t index) const {
    const char *out = nullptr;
    std::size_t len = 0;
    trial t;
    t(subrosa_list_text_view(raw(), index, &out, &len, t.slot()));
    return len == 0 ? std::string() : std::string(out, len);
  }
  subrosa_vault_id vault(std::size_t index) const {
    subrosa_vault_id out;
    trial t;
    t(subrosa_list_vault_id(raw(), index, &out, t.slot()));
    return out;
  }
  member device(std::size_t index) const {
    subrosa_device_info info = subrosa_device_info();
    info.struct_size = sizeof info;
    trial t;
    t(subrosa_list_device(raw(), index, &info, t.slot()));
    return member{text(index), info.role, info.is_this != 0, info.public_key};
  }
  forks_of_device forks(std::size_t index) const {
    subrosa_fork_info info = subrosa_fork_info();
    info.struct_size = sizeof info;
    trial t;
    t(subrosa_list_forks(raw(), index, &info, t.slot()));
    return forks_of_device{text(index), info.is_this != 0, info.public_key, info.logs, info.futures};
  }
  held_of_device held(std::size_t index) const {
    subrosa_held_info info = subrosa_held_info();
    info.struct_size = sizeof info;
    trial t;
    t(subrosa_list_held(raw(), index, &info, t.slot()));
    return held_of_device{text(index), info.public_key, info.groups, info.until_ms};
  }
  vault_at_relay at_relay(std::size_t index) const {
    subrosa_sync_vault info = subrosa_sync_vault();
    info.struct_size = sizeof info;
    trial t;
    t(subrosa_list_sync_vault(raw(), index, &info, t.slot()));
    return vault_at_relay{info.vault, info.refused, text(index), info.disagrees != 0, info.disputed != 0, info.update_needed != 0};
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (std::size_t i = 0, n = size(); i < n; i++) all.push_back(text(i));
    return all;
  }
};
}  // namespace detail

// Writes to send in one call, all or nothing.
class batch {
 public:
  batch &insert(const std::string &json) { return row(SUBROSA_ROW_INSERT, id(), &json); }
  batch &put(const id &which, const std::string &json) { return row(SUBROSA_ROW_PUT, which, &json); }
  batch &replace(const id &which, const std::string &json) { return row(SUBROSA_ROW_REPLACE, which, &json); }
  batch &remove(const id &which) { return row(SUBROSA_ROW_DELETE, which, nullptr); }
  // As put, for a record that was exported: it may have more fields than a write may add.
  batch &import(const id &which, const std::string &json) { return row(SUBROSA_ROW_IMPORT, which, &json); }
  const bytes &rows() const noexcept { return rows_; }

 private:
  batch &row(std::uint8_t op, const id &which, const std::string *json) {
    const std::size_t payload = json == nullptr ? 0 : json->size();
    if (payload > SUBROSA_ROWS_BYTES_MAX) throw error(SUBROSA_TOO_LARGE, nullptr);
    const std::uint32_t len = static_cast<std::uint32_t>(20 + payload);
    for (int shift = 0; shift < 32; shift += 8) rows_.push_back(static_cast<std::uint8_t>(len >> shift));
    rows_.push_back(op);
    rows_.push_back(json == nullptr ? 0 : SUBROSA_FORMAT_JSON);
    rows_.insert(rows_.end(), 2, 0);
    rows_.insert(rows_.end(), which.raw.bytes, which.raw.bytes + sizeof which.raw.bytes);
    if (json != nullptr) rows_.insert(rows_.end(), json->begin(), json->end());
    return *this;
  }
  bytes rows_;
};

struct row {
  subrosa::id id;
  optional<std::string> json;  // nothing: no such record, or one that is too large
  bool too_large;              // read it field by field
  row() : too_large(false) {}
};

class collection : public detail::handle<subrosa_collection, subrosa_collection_close> {
 public:
  collection() noexcept {}
  explicit collection(subrosa_collection *raw) noexcept : handle(raw) {}
  id insert(const std::string &json, transaction *tx = nullptr) {
    id out;
    detail::trial t;
    t(subrosa_insert_json(raw(), detail::raw_or_null(tx), json.data(), json.size(), &out.raw, t.slot()));
    return out;
  }
  id insert(const record &from, transaction *tx = nullptr) {
    id out;
    detail::trial t;
    t(subrosa_insert(raw(), detail::raw_or_null(tx), from.raw(), &out.raw, t.slot()));
    return out;
  }
  // Sets these fields and leaves others.
  void put(const id &which, const std::string &json, transaction *tx = nullptr) {
    detail::trial t;
    t(subrosa_put_json(raw(), detail::raw_or_null(tx), &which.raw, json.data(), json.size(), t.slot()));
  }
  void put(const id &which, const record &from, transaction *tx = nullptr) {
    detail::trial t;
    t(subrosa_put(raw(), detail::raw_or_null(tx), &which.raw, from.raw(), t.slot()));
  }
  void replace(const id &which, const std::string &json, transaction *tx = nullptr) {
    detail::trial t;
    t(subrosa_replace_json(raw(), detail::raw_or_null(tx), &which.raw, json.data(), json.size(), t.slot()));
  }
  void replace(const id &which, const record &from, transaction *tx = nullptr) {
    detail::trial t;
    t(subrosa_replace(raw(), detail::raw_or_null(tx), &which.raw, from.raw(), t.slot()));
  }
  // Empty when there is none.
  record get(const id &which, transaction *tx = nullptr) const {
    detail::trial t;
    subrosa_record *out = nullptr;
    t(subrosa_get(raw(), detail::raw_or_null(tx), &which.raw, &out, t.slot()));
    return record(out);
  }
  optional<std::string> get_json(const id &which, transaction *tx = nullptr) const {
    detail::buffer out;
    bool found = false;
    detail::trial t;
    t(subrosa_get_json(raw(), detail::raw_or_null(tx), &which.raw, out.out(), &found, t.slot()));
    return found ? optional<std::string>(out.text()) : optional<std::string>();
  }
  bool remove(const id &which, transaction *tx = nullptr) {
    bool existed = false;
    detail::trial t;
    t(subrosa_delete(raw(), detail::raw_or_null(tx), &which.raw, &existed, t.slot()));
    return existed;
  }
  // Single fields of a record of any size. At most `limit` names behind `after`; nothing where there is no record.
  std::vector<std::string> field_names(const id &which, std::size_t limit, const std::string *after = nullptr,
                                       transaction *tx = nullptr) const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_field_names(raw(), detail::raw_or_null(tx), &which.raw, after == nullptr ? nullptr : after->data(),
                          after == nullptr ? 0 : after->size(), limit, &out, t.slot()));
    const detail::list names(out);
    return names.texts();
  }
  // A record with this field alone; empty when there is none.
  record get_field(const id &which, const std::string &field, transaction *tx = nullptr) const {
    detail::trial t;
    subrosa_record *out = nullptr;
    t(subrosa_get_field(raw(), detail::raw_or_null(tx), &which.raw, field.data(), field.size(), &out, t.slot()));
    return record(out);
  }
  optional<std::string> get_field_json(const id &which, const std::string &field, transaction *tx = nullptr) const {
    detail::buffer out;
    bool found = false;
    detail::trial t;
    t(subrosa_get_field_json(raw(), detail::raw_or_null(tx), &which.raw, field.data(), field.size(), out.out(), &found, t.slot()));
    return found ? optional<std::string>(out.text()) : optional<std::string>();
  }
  bool remove_field(const id &which, const std::string &field, transaction *tx = nullptr) {
    bool existed = false;
    detail::trial t;
    t(subrosa_delete_field(raw(), detail::raw_or_null(tx), &which.raw, field.data(), field.size(), &existed, t.slot()));
    return existed;
  }
  std::uint64_t count(transaction *tx = nullptr) const {
    std::uint64_t out = 0;
    detail::trial t;
    t(subrosa_count(raw(), detail::raw_or_null(tx), &out, t.slot()));
    return out;
  }
  // At most `limit` records behind `after` in the order of ids; *more: another page follows.
  std::vector<row> page(const id *after, std::size_t limit, bool *more = nullptr, transaction *tx = nullptr) const {
    detail::buffer out;
    bool follows = false;
    detail::trial t;
    t(subrosa_page(raw(), detail::raw_or_null(tx), after == nullptr ? nullptr : &after->raw, limit, SUBROSA_FORMAT_JSON, out.out(),
                   &follows, t.slot()));
    if (more != nullptr) *more = follows;
    return unpack(out);
  }
  std::vector<row> get_many(const std::vector<id> &ids, transaction *tx = nullptr) const {
    static_assert(sizeof(id) == sizeof(subrosa_id), "a vector of ids is an array of subrosa_id");
    detail::buffer out;
    detail::trial t;
    const subrosa_id *first = ids.empty() ? nullptr : &ids[0].raw;
    t(subrosa_get_many(raw(), detail::raw_or_null(tx), first, ids.size(), SUBROSA_FORMAT_JSON, out.out(), t.slot()));
    return unpack(out);
  }
  // The ids of all rows, new ones for inserts.
  std::vector<id> write(const batch &rows, transaction *tx = nullptr) {
    detail::buffer out;
    detail::trial t;
    t(subrosa_write_many(raw(), detail::raw_or_null(tx), rows.rows().data(), rows.rows().size(), out.out(), t.slot()));
    std::vector<id> ids(out.size() / sizeof(subrosa_id));
    for (std::size_t i = 0; i < ids.size(); i++) std::memcpy(ids[i].raw.bytes, out.data() + i * sizeof(subrosa_id), sizeof(subrosa_id));
    return ids;
  }

 private:
  static std::vector<row> unpack(const detail::buffer &rows) {
    std::vector<row> all;
    std::size_t offset = 0;
    subrosa_row raw;
    while (subrosa_rows_next(rows.data(), rows.size(), &offset, &raw)) {
      row next;
      next.id = id(raw.id);
      next.too_large = raw.op == SUBROSA_ROW_TOO_LARGE;
      if (raw.op == SUBROSA_ROW_RECORD) next.json = std::string(reinterpret_cast<const char *>(raw.payload), raw.payload_len);
      all.push_back(std::move(next));
    }
    return all;
  }
};

struct delivery {
  std::uint64_t held;          // sealed segments held on this device, its own and others'
  std::uint64_t acknowledged;  // how many of them the relay is known to hold durably
};

class vault : public detail::handle<subrosa_vault, subrosa_vault_close> {
 public:
  vault() noexcept {}
  explicit vault(subrosa_vault *raw) noexcept : handle(raw) {}
  vault_id id() const {
    vault_id out;
    detail::trial t;
    t(subrosa_vault_id_of(raw(), &out, t.slot()));
    return out;
  }
  std::string name() const {
    detail::buffer out;
    detail::trial t;
    t(subrosa_vault_name(raw(), out.out(), t.slot()));
    return out.text();
  }
  std::vector<std::string> collections() const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_vault_collections(raw(), &out, t.slot()));
    return detail::list(out).texts();
  }
  std::vector<member> devices() const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_vault_devices(raw(), &out, t.slot()));
    const detail::list list(out);
    std::vector<member> all;
    for (std::size_t i = 0, n = list.size(); i < n; i++) all.push_back(list.device(i));
    return all;
  }
  // The devices whose logs have several futures here.
  std::vector<forks_of_device> forks() const {
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_vault_forks(raw(), &out, t.slot()));
    const detail::list list(out);
    std::vector<forks_of_device> all;
    for (std::size_t i = 0, n = list.size(); i < n; i++) all.push_back(list.forks(i));
    return all;
  }
  // What is held for this device's clock.
  held_groups held() const {
    held_groups all = held_groups();
    detail::trial t;
    subrosa_list *out = nullptr;
    t(subrosa_vault_held(raw(), &out, &all.clock_is_late, t.slot()));
    const detail::list list(out);
    for (std::size_t i = 0, n = list.size(); i < n; i++) all.devices.push_back(list.held(i));
    return all;
  }
  // Whether nothing is sent before an update.
  bool is_update_needed() const {
    bool out = false;
    detail::trial t;
    t(subrosa_vault_is_update_needed(raw(), &out, t.slot()));
    return out;
  }
  // How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes.
  std::uint64_t pending() const {
    std::uint64_t out = 0;
    detail::trial t;
    t(subrosa_vault_pending(raw(), &out, t.slot()));
    return out;
  }
  subrosa::delivery delivery(const std::string &relay = std::string()) const {
    subrosa::delivery out = subrosa::delivery();
    detail::trial t;
    t(subrosa_vault_delivery(raw(), relay.data(), relay.size(), &out.held, &out.acknowledged, t.slot()));
    return out;
  }
  subrosa::collection collection(const std::string &name) const {
    detail::trial t;
    subrosa_collection *out = nullptr;
    t(subrosa_collection_open(raw(), name.data(), name.size(), &out, t.slot()));
    return subrosa::collection(out);
  }
  // mode: SUBROSA_TX_READ or SUBROSA_TX_WRITE; the timeout is for another writer.
  transaction begin(std::int32_t mode, std::int32_t timeout_ms = -1) const {
    detail::trial t;
    subrosa_tx *out = nullptr;
    t(subrosa_tx_begin(raw(), mode, timeout_ms, &out, t.slot()));
    return transaction(out);
  }
  // Commits when `work` returns, aborts when it throws.
  template <class Work>
  void write(Work work, std::int32_t timeout_ms = -1) const {
    transaction tx = begin(SUBROSA_TX_WRITE, timeout_ms);
    work(tx);
    tx.commit();
  }
  // All that `work` reads is of one moment.
  template <class Work>
  void read(Work work) const {
    transaction tx = begin(SUBROSA_TX_READ);
    work(tx);
  }
};

}  // namespace subrosa

#endif
