/* Prints docs/envoy-api.md from the table of what is supported; --check FILE compares instead. */
#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "xds/xds_types.h"

static const char head[] =
    "# Envoy v3 API: what is supported\n"
    "Written by `xds_doc` from the table `src/xds/xds_support.def`; a test compares. Do not edit: "
    "change the table and run `build/tests/xds_doc > docs/envoy-api.md`.\n\n"
    "- **used**: implemented.\n"
    "- **warned**: accepted without effect; a warning names the field by its path.\n"
    "- **refused**: a bootstrap file, or a resource of a management server, that sets it is "
    "refused, "
    "with the field's path.\n\n"
    "An unknown field in a file is an error, in a resource a warning; an extension that is not "
    "listed "
    "is refused, but for an HTTP filter with `is_optional`, which is left out with a warning. "
    "Constraints such as \"must not be empty\" stand in `src/xds/xds_validate.def`. The table and "
    "its "
    "walk are tested by `tests/unit/xds/test_xds_support.c` and `test_xds_check.c`.\n";

static void print_slots(struct buf *b, uint32_t slots)
{
    for (uint32_t bit = 1; bit && bit <= slots; bit <<= 1)
        if (slots & bit)
            buf_addf(b, "%s%s", (slots & (bit - 1)) ? ", " : "", xds_slot_word(bit));
}

static void print_extensions(struct buf *b)
{
    static const char *const words[] = {"used", "warned", "refused"};
    size_t n;
    const struct xds_extension *e = xds_extensions(&n);
    buf_add_cstr(
        b, "\n## Extensions\n| type | Envoy's name | stands as | state |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        buf_addf(b, "| %s | %s | ", e[i].message->name, e[i].name);
        print_slots(b, e[i].slots);
        buf_addf(b, " | %s%s%s |\n", words[e[i].state], *e[i].note ? ": " : "", e[i].note);
    }
}

/* A message's fields of one state, on one line. */
static void print_state(struct buf *b, const struct xds_row *row, enum xds_state state,
                        const char *word)
{
    bool any = false;
    for (unsigned i = 0; i < row->message->n_fields; i++) {
        const struct xds_row *f = &row[1 + i];
        if (f->state != state)
            continue;
        buf_addf(b, any ? ", %s" : "- %s: %s", any ? f->name : word, f->name);
        if (*f->note)
            buf_addf(b, " (%s)", f->note);
        any = true;
    }
    if (any)
        buf_add_char(b, '\n');
}

static void print_values(struct buf *b, const ProtobufCMessageDescriptor *d)
{
    size_t n;
    const struct xds_value *v = xds_values(&n);
    for (size_t i = 0; i < n; i++)
        if (v[i].message == d)
            buf_addf(b, "- %s: the value %s of %s (%s)\n",
                     v[i].state == XDS_WARN ? "warned" : "refused", v[i].value, v[i].field,
                     v[i].note);
}

static void print_message(struct buf *b, const struct xds_row *row)
{
    buf_addf(b, "\n### %s\n", row->message->name);
    if (row->kind == XDS_ROW_OPAQUE) {
        buf_addf(b, "- not read: %s\n", row->note);
        return;
    }
    if (!row->message->n_fields)
        buf_add_cstr(b, "- no fields\n");
    print_state(b, row, XDS_USED, "used");
    print_state(b, row, XDS_WARN, "warned");
    print_state(b, row, XDS_REFUSE, "refused");
    print_values(b, row->message);
}

static void print_all(struct buf *b)
{
    size_t n;
    const struct xds_row *rows = xds_support_rows(&n);
    buf_add_cstr(b, head);
    print_extensions(b);
    for (size_t i = 0; i < n; i++)
        if (rows[i].kind == XDS_ROW_SECTION)
            buf_addf(b, "\n## %s\n", rows[i].name);
        else if (rows[i].kind != XDS_ROW_FIELD)
            print_message(b, &rows[i]);
}

static bool is_same(const char *file, struct str want)
{
    AUTO_DONE(buf) struct buf have = {0};
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    for (;;) {
        void *room = buf_reserve(&have, 65536);
        ssize_t n = fd >= 0 && room ? read(fd, room, 65536) : -1;
        if (n <= 0)
            return n == 0 && str_eq(buf_str(&have), want);
        have.n += (size_t)n;
    }
}

int main(int argc, char **argv)
{
    AUTO_DONE(buf) struct buf b = {0};
    print_all(&b);
    if (argc == 3 && strcmp(argv[1], "--check") == 0) {
        if (is_same(argv[2], buf_str(&b)))
            return 0;
        fprintf(stderr, "%s is not what the table says: run %s > %s\n", argv[2], argv[0], argv[2]);
        return 1;
    }
    return fwrite(b.p, 1, b.n, stdout) == b.n ? 0 : 1;
}
