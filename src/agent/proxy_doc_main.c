/* Prints the table of docs/kube-proxy.md from proxy_fields.def; --check FILE: whether it stands in
 * the file. */
#include <stdio.h>

#include "agent/proxy_config.h"

static void print_table(struct buf *b)
{
    size_t n;
    const struct proxy_field *f = proxy_fields(&n);
    buf_add_cstr(b, "| field | default | state | what |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++)
        buf_addf(b, "| `%s` | `%s` | %s | %s |\n", f[i].path, f[i].fallback,
                 proxy_field_state(&f[i]), f[i].text);
}

int main(int argc, char **argv)
{
    AUTO_DONE(buf) struct buf table = {0}, file = {0};
    print_table(&table);
    if (argc != 3 || !streq(argv[1], "--check"))
        return fwrite(table.p, 1, table.n, stdout) == table.n ? 0 : 1;
    char piece[4096];
    size_t n;
    FILE *f = fopen(argv[2], "re");
    while (f && (n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&file, piece, n);
    if (f)
        fclose(f);
    if (str_contains(buf_str(&file), buf_str(&table)))
        return 0;
    fprintf(stderr, "the table in %s is not what proxy_fields.def says: put in what %s prints\n",
            argv[2], argv[0]);
    return 1;
}
