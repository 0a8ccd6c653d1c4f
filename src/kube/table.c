/* Cells of printer columns and their final form. The rows of a kind are data (struct table); what a
 * path cannot say is a function in table_pod.c or table_cells.c. Pure; cells are cached by the
 * server for the life of an object version, so nothing here may depend on the clock but
 * table_write_cell. */
#include "kube/table.h"

#include "base/time.h"

json_t *table_cells(const struct table *t, const json_t *object)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < t->n; i++) {
        const struct table_column *c = &t->columns[i];
        json_t *v = c->cell ? c->cell(object) : NULL;
        if (!c->cell && c->path)
            v = json_incref(json_at(object, c->path));
        bool text = streq(c->type, "string");
        if (!v || (text && json_is_string(v) && !json_string_length(v))) {
            json_decref(v);
            v = text                        ? json_string(c->priority ? "<none>" : "")
                : streq(c->type, "integer") ? json_integer(0)
                                            : json_null();
        }
        json_array_append_new(cells, v);
    }
    return cells;
}

/* "5m", or a word where there is no time. */
static void age(struct buf *b, const char *time, int64_t now_s)
{
    int64_t at_us;
    char text[24];
    if (!time || time_parse_rfc3339(str_from(time), &at_us) < 0) {
        buf_add_cstr(b, "<unknown>");
        return;
    }
    time_format_human(now_s - at_us / 1000000, text);
    buf_add_cstr(b, text);
}

/* How long it took, or takes. */
static void span(struct buf *b, const json_t *cell, int64_t now_s)
{
    const char *end = json_string_value(json_array_get(cell, 1));
    int64_t end_us;
    if (!json_is_array(cell))
        return;
    if (end && time_parse_rfc3339(str_from(end), &end_us) == 0)
        now_s = end_us / 1000000;
    age(b, json_string_value(json_array_get(cell, 0)), now_s);
}

void table_write_cell(struct buf *b, const struct table_column *c, const json_t *cell,
                      int64_t now_s)
{
    if (streq(c->type, "date")) {
        buf_add_char(b, '"');
        age(b, json_string_value(cell), now_s);
        buf_add_char(b, '"');
    } else if (streq(c->type, "restarts")) {
        const char *last = json_string_value(json_array_get(cell, 1));
        buf_add_char(b, '"');
        json_write(b, json_array_get(cell, 0));
        if (last) {
            buf_add_cstr(b, " (");
            age(b, last, now_s);
            buf_add_cstr(b, " ago)");
        }
        buf_add_char(b, '"');
    } else if (streq(c->type, "span")) {
        buf_add_char(b, '"');
        span(b, cell, now_s);
        buf_add_char(b, '"');
    } else {
        json_write(b, cell);
    }
}
