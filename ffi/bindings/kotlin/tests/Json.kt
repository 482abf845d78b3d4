package dev.subrosa.tests

/** Just enough JSON to read the scenarios: objects are maps, arrays lists, integers Long, texts String. */
class Json private constructor(private val text: String) {
    private var at = 0

    private fun value(): Any? {
        blank()
        return when (val c = text[at]) {
            '{' -> items('}') { string().also { blank(); expect(':') } to value() }.associate { it }
            '[' -> items(']') { value() }
            '"' -> string()
            else -> word(c)
        }
    }

    private fun <T> items(end: Char, item: () -> T): List<T> {
        at++
        val items = mutableListOf<T>()
        blank()
        while (text[at] != end) {
            if (items.isNotEmpty()) expect(',')
            blank()
            items += item()
            blank()
        }
        at++
        return items
    }

    private fun string(): String {
        expect('"')
        val out = StringBuilder()
        while (text[at] != '"') {
            if (text[at] != '\\') {
                out.append(text[at++])
                continue
            }
            when (val escape = text[at + 1]) {
                'u' -> out.append(text.substring(at + 2, at + 6).toInt(16).toChar()).also { at += 4 }
                'n' -> out.append('\n')
                't' -> out.append('\t')
                'r' -> out.append('\r')
                'b' -> out.append('\b')
                'f' -> out.append('\u000c')
                else -> out.append(escape)
            }
            at += 2
        }
        at++
        return out.toString()
    }

    private fun word(first: Char): Any? {
        val start = at
        while (at < text.length && (text[at].isLetterOrDigit() || text[at] in "+-.")) at++
        val word = text.substring(start, at)
        return when {
            word == "true" -> true
            word == "false" -> false
            word == "null" -> null
            first == '-' || first.isDigit() -> word.toLong()
            else -> error("not JSON at $start")
        }
    }

    private fun blank() {
        while (at < text.length && text[at].isWhitespace()) at++
    }

    private fun expect(c: Char) {
        check(text[at] == c) { "not JSON at $at" }
        at++
    }

    companion object {
        fun parse(text: String): Any? = Json(text).value()
    }
}
