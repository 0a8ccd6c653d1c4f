/* The build's own tool: message tables as C source, from schema files.
 *
 *   schemagen OUT.c OUT.h IN.yaml...
 *
 * Runs before the layer that it is a part of is compiled, so it stands on base, codec and
 * schema_openapi.c alone. Writes nothing if a file is wrong: one line says which and where. */
#include <errno.h>
#include <stdio.h>

#include "codec/yaml.h"
#include "kube/schema_openapi.h"

static const char *const type_names[] = {
    [FIELD_STRING] = "STRING",
    [FIELD_BOOL] = "BOOL",
    [FIELD_INT32] = "INT32",
    [FIELD_INT64] = "INT64",
    [FIELD_BYTES] = "BYTES",
    [FIELD_TIME] = "TIME",
    [FIELD_MICROTIME] = "MICROTIME",
    [FIELD_DURATION] = "DURATION",
    [FIELD_INT_OR_STRING] = "INT_OR_STRING",
    [FIELD_QUANTITY] = "QUANTITY",
    [FIELD_ANY] = "ANY",
    [FIELD_OBJECT] = "OBJECT",
};

static const char *const format_names[] = {
    [FORMAT_DNS_LABEL] = "DNS_LABEL",     [FORMAT_DNS_SUBDOMAIN] = "DNS_SUBDOMAIN",
    [FORMAT_PORT_NAME] = "PORT_NAME",     [FORMAT_ENV_NAME] = "ENV_NAME",
    [FORMAT_ABS_PATH] = "ABS_PATH",       [FORMAT_IP] = "IP",
    [FORMAT_LABELS] = "LABELS",           [FORMAT_LABEL_KEYS] = "LABEL_KEYS",
    [FORMAT_CONFIG_KEYS] = "CONFIG_KEYS", [FORMAT_QUALIFIED_NAME] = "QUALIFIED_NAME",
};

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* "HTTPGetAction" as http_get_action. */
static void write_identifier(struct buf *b, const char *name)
{
    for (size_t i = 0; name[i]; i++) {
        bool before = i > 0 && !is_upper(name[i - 1]);
        bool after = name[i + 1] && !is_upper(name[i + 1]);
        if (is_upper(name[i]) && i > 0 && (before || after))
            buf_add_char(b, '_');
        buf_add_char(b, is_upper(name[i]) ? (char)(name[i] - 'A' + 'a') : name[i]);
    }
}

static void write_text(struct buf *b, const char *member, const char *text)
{
    if (!text)
        return;
    buf_addf(b, ", .%s = \"", member);
    for (; *text; text++)
        buf_addf(b, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    buf_add_char(b, '"');
}

static void write_flag(struct buf *b, const char *member, bool set)
{
    if (set)
        buf_addf(b, ", .%s = true", member);
}

/* The name of a table of the book; NULL: it has none. */
static const char *name_of(json_t *definitions, const struct schema_book *book,
                           const struct schema *s)
{
    const char *name;
    json_t *value;
    json_object_foreach(definitions, name,
                        value) if (schema_book_find(book, name) == s) return name;
    return NULL;
}

static int write_field(struct buf *b, const struct schema_field *f, const char *of,
                       struct err *reterr)
{
    if (f->of && !of)
        return err_set(reterr, -EINVAL, f->name, "properties inside properties: give them a name");
    buf_addf(b, "    {.name = \"%s\", .type = FIELD_%s", f->name, type_names[f->type]);
    if (f->shape != SHAPE_ONE)
        buf_addf(b, ", .shape = SHAPE_%s", f->shape == SHAPE_LIST ? "LIST" : "MAP");
    if (f->pb)
        buf_addf(b, ", .pb = %u", f->pb);
    write_flag(b, "inlined", f->inlined);
    write_flag(b, "omitempty", f->omitempty);
    write_flag(b, "pointer", f->pointer);
    write_flag(b, "required", f->required);
    write_flag(b, "patch_merge", f->patch_merge);
    write_flag(b, "patch_retain_keys", f->patch_retain_keys);
    write_flag(b, "set", f->set);
    write_flag(b, "atomic", f->atomic);
    if (f->bounded)
        buf_addf(b, ", .bounded = true, .min = %lld, .max = %lld", (long long)f->min,
                 (long long)f->max);
    if (f->format)
        buf_addf(b, ", .format = FORMAT_%s", format_names[f->format]);
    if (of) {
        buf_add_cstr(b, ", .of = &schema_");
        write_identifier(b, of);
    }
    write_text(b, "go_type", f->go_type);
    write_text(b, "merge_key", f->merge_key);
    write_text(b, "map_keys", f->map_keys);
    write_text(b, "def", f->def);
    write_text(b, "values", f->values);
    buf_add_cstr(b, "},\n");
    return 0;
}

static void write_kinds(struct buf *b, json_t *definitions)
{
    const char *name;
    json_t *definition, *gvk;
    size_t i, n = 0;
    buf_add_cstr(b, "const struct schema_kind schema_kinds[] = {\n");
    json_object_foreach(definitions, name, definition)
    {
        json_array_foreach(json_object_get(definition, "x-kubernetes-group-version-kind"), i, gvk)
        {
            const char *group = json_key_str(gvk, "group"), *version = json_key_str(gvk, "version");
            const char *kind = json_key_str(gvk, "kind");
            buf_addf(b, "    {\"%s%s%s\", \"%s\", &schema_", group ? group : "",
                     str_empty(group) ? "" : "/", version ? version : "", kind ? kind : "");
            write_identifier(b, name);
            buf_add_cstr(b, "},\n");
            n++;
        }
    }
    buf_addf(b, "};\nconst size_t n_schema_kinds = %zu;\n", n);
}

static int write_source(struct buf *c, struct buf *h, json_t *definitions,
                        const struct schema_book *book, struct err *reterr)
{
    const char *name;
    json_t *definition;
    buf_add_cstr(h, "#pragma once\n/* Generated from src/kube/schemas. Every message table. */\n"
                    "#include \"kube/schema.h\"\n\n");
    buf_add_cstr(c, "/* Generated from src/kube/schemas. */\n#include \"kube/schema_tables.h\"\n");
    json_object_foreach(definitions, name, definition)
    {
        const struct schema *s = schema_book_find(book, name);
        AUTO_DONE(buf) struct buf ident = {0};
        write_identifier(&ident, name);
        buf_addf(h, "extern const struct schema schema_%s;\n", buf_cstr(&ident));
        if (s->n)
            buf_addf(c, "\nstatic const struct schema_field %s_fields[] = {\n", buf_cstr(&ident));
        for (size_t i = 0; i < s->n; i++) {
            const struct schema_field *f = &s->fields[i];
            int code = write_field(c, f, f->of ? name_of(definitions, book, f->of) : NULL, reterr);
            if (code < 0)
                return err_prefix(reterr, name, NULL);
        }
        if (s->n)
            buf_addf(c, "};\nconst struct schema schema_%s = {\"%s\", %s_fields, %zu};\n",
                     buf_cstr(&ident), s->name, buf_cstr(&ident), s->n);
        else
            buf_addf(c, "const struct schema schema_%s = {.name = \"%s\"};\n", buf_cstr(&ident),
                     s->name);
    }
    buf_add_char(c, '\n');
    write_kinds(c, definitions);
    return 0;
}

static int read_file(const char *path, json_t *definitions, struct err *reterr)
{
    enum { FILE_BYTES_MAX = 4 * 1024 * 1024 };
    AUTO_CHARS char *text = malloc(FILE_BYTES_MAX);
    AUTO_JSON json_t *part = NULL;
    const char *name;
    json_t *definition;
    FILE *f = fopen(path, "re");
    if (!f || !text) {
        if (f)
            fclose(f);
        return err_set(reterr, -errno, NULL, "%s: cannot be read", path);
    }
    size_t n = fread(text, 1, FILE_BYTES_MAX, f);
    fclose(f);
    if (n == FILE_BYTES_MAX)
        return err_set(reterr, -E2BIG, NULL, "%s: too large", path);
    if (yaml_parse(str_of(text, n), &part, reterr) < 0)
        return err_prefix(reterr, NULL, path);
    json_object_foreach(part, name, definition)
    {
        if (json_object_get(definitions, name))
            return err_set(reterr, -EEXIST, name, "%s: defined in another file too", path);
        json_object_set(definitions, name, definition);
    }
    return 0;
}

static int write_file(const char *path, struct buf *b, struct err *reterr)
{
    FILE *f = fopen(path, "we");
    size_t n = f ? fwrite(buf_cstr(b), 1, b->n, f) : 0;
    if (!f || fclose(f) != 0 || n != b->n)
        return err_set(reterr, -EIO, NULL, "%s: cannot be written", path);
    return 0;
}

int main(int argc, char **argv)
{
    AUTO_JSON json_t *definitions = json_object();
    AUTO_DONE(buf) struct buf c = {0};
    AUTO_DONE(buf) struct buf h = {0};
    struct schema_book book;
    struct err err = {0};
    int code = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: schemagen OUT.c OUT.h IN.yaml...\n");
        return 64;
    }
    schema_book_init(&book, 0);
    for (int i = 3; i < argc && code == 0; i++)
        code = read_file(argv[i], definitions, &err);
    if (code == 0)
        code = schema_book_add(&book, definitions, &err);
    if (code == 0)
        code = write_source(&c, &h, definitions, &book, &err);
    if (code == 0)
        code = write_file(argv[1], &c, &err);
    if (code == 0)
        code = write_file(argv[2], &h, &err);
    if (code < 0)
        fprintf(stderr, "schemagen: %s\n", err_text(&err));
    schema_book_done(&book);
    return code < 0;
}
