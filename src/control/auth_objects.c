#include "control/auth_objects.h"

#include "base/vec.h"
#include "codec/base64.h"
#include "codec/htpasswd.h"
#include "codec/http_head.h"
#include "net/tls.h"

enum { WRONG_MAX = 5, FIELDS_MAX = 64 };

static void secret_free(struct auth_secret *s)
{
    if (!s)
        return;
    explicit_bzero(s->file, strlen(s->file));
    explicit_bzero(s->map, strlen(s->map));
    free(s->file);
    free(s->map);
    explicit_bzero(s->key, strlen(s->key));
    free(s->ca);
    free(s->crl);
    free(s->cert);
    free(s->key);
    free(s);
}

static void fields_free(struct auth_fields *f)
{
    for (size_t i = 0; f && i < f->n; i++) {
        free(f->v[i].name);
        free(f->v[i].value);
    }
    if (f)
        free(f->v);
    free(f);
}

void auth_objects_done(struct auth_objects *all)
{
    void *value;
    for (size_t at = 0; map_next(&all->secrets, &at, NULL, &value);)
        secret_free(value);
    for (size_t at = 0; map_next(&all->config_maps, &at, NULL, &value);)
        fields_free(value);
    map_done(&all->secrets);
    map_done(&all->config_maps);
}

/* ---- users ---- */

/* Usable lines of text; the others are told of, the first few of them. */
static void add_lines(struct str text, const char *where, struct buf *to, struct buf *wrong)
{
    struct htpasswd_line line = {0};
    unsigned n = 0;
    while (htpasswd_next(&text, &line)) {
        if (!line.why)
            buf_addf(to, STR_FMT ":" STR_FMT "\n", STR_ARG(line.name), STR_ARG(line.hash));
        else if (n++ < WRONG_MAX)
            buf_addf(wrong, "%s%s, line %u: %s", wrong->n ? "; " : "", where, line.number,
                     line.why);
    }
}

static void read_file(const json_t *data, struct buf *to, struct buf *wrong)
{
    AUTO_DONE(buf) struct buf text = {0};
    const char *base64 = json_key_str(data, "auth");
    if (!base64 || base64_decode(str_from(base64), &text) < 0)
        return;
    add_lines(buf_str(&text), "key auth", to, wrong);
    if (text.n)
        explicit_bzero(text.p, text.n);
}

/* Told of only where there is no file: else the keys are not meant. */
static void read_map(const json_t *data, struct buf *to, struct buf *wrong)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)data, name, value)
    {
        AUTO_DONE(buf) struct buf line = {0};
        buf_addf(&line, "%s:", name);
        if (!json_is_string(value) || base64_decode(str_from(json_string_value(value)), &line) < 0)
            continue;
        struct str text = str_trim(buf_str(&line));
        while (text.n && text.p[text.n - 1] == '\n')
            text.n--;
        AUTO_CHARS char *where = xasprintf("key %.100s", name);
        if (!memchr(text.p, '\n', text.n))
            add_lines(text, where, to, wrong);
        explicit_bzero(line.p, line.n);
    }
}

static char *read_pem(const json_t *data, const char *name)
{
    AUTO_DONE(buf) struct buf pem = {0};
    const char *base64 = json_key_str(data, name);
    buf_add_cstr(&pem, "");
    if (base64 && base64_decode(str_from(base64), &pem) < 0)
        buf_clear(&pem);
    return buf_take_cstr(&pem);
}

/* Both can be used, or neither is. */
static void read_ca(const json_t *data, struct auth_secret *s, struct buf *wrong)
{
    struct tls_context *context;
    struct err err = {0};
    s->ca = read_pem(data, "ca.crt");
    s->crl = read_pem(data, "ca.crl");
    const struct tls_config config = {.ca_pem = str_from(s->ca), .crl_pem = str_from(s->crl)};
    if (!*s->ca)
        return;
    if (tls_context_new_client(&config, &context, &err) == 0) {
        tls_context_unref(context);
        return;
    }
    buf_addf(wrong, "%sca.crt, ca.crl: %s", wrong->n ? "; " : "", err_text(&err));
    *s->ca = 0;
    s->broken = true;
}

/* The same. */
static void read_cert(const json_t *data, struct auth_secret *s, struct buf *wrong)
{
    struct tls_context *context;
    struct err err = {0};
    s->cert = read_pem(data, "tls.crt");
    s->key = read_pem(data, "tls.key");
    const struct tls_config config = {
        .cert_pem = str_from(s->cert), .key_pem = str_from(s->key), .insecure = true};
    if (!json_key_str(data, "tls.crt") && !json_key_str(data, "tls.key"))
        return;
    bool whole = *s->cert && *s->key;
    if (whole && tls_context_new_client(&config, &context, &err) == 0) {
        tls_context_unref(context);
        return;
    }
    buf_addf(wrong, "%stls.crt, tls.key: %s", wrong->n ? "; " : "",
             whole ? err_text(&err) : "one of them is missing, or is no base64");
    explicit_bzero(s->key, strlen(s->key));
    *s->cert = *s->key = 0;
    s->broken = true;
}

void auth_objects_put_secret(struct auth_objects *all, const char *key, const json_t *secret,
                             struct buf *wrong)
{
    AUTO_DONE(buf) struct buf file = {0};
    AUTO_DONE(buf) struct buf map = {0};
    AUTO_DONE(buf) struct buf ignored = {0};
    const json_t *data = json_at(secret, "data");
    if (!secret) {
        secret_free(map_remove_cstr(&all->secrets, key));
        return;
    }
    bool has_file =
        json_key_str(data, "auth") || json_key_str(data, "ca.crt") || json_key_str(data, "tls.crt");
    buf_add_cstr(&file, "");
    buf_add_cstr(&map, "");
    read_file(data, &file, wrong);
    read_map(data, &map, has_file ? &ignored : wrong);
    struct auth_secret *s = NEW(struct auth_secret);
    s->file = buf_take_cstr(&file);
    s->map = buf_take_cstr(&map);
    read_ca(data, s, wrong);
    read_cert(data, s, wrong);
    secret_free(map_put_cstr(&all->secrets, key, s));
}

const char *auth_objects_users(const struct auth_objects *all, const char *key, bool map)
{
    const struct auth_secret *s = map_find_cstr(&all->secrets, key);
    const char *text = !s ? NULL : map ? s->map : s->file;
    return str_empty(text) ? NULL : text;
}

const struct auth_secret *auth_objects_ca(const struct auth_objects *all, const char *key)
{
    const struct auth_secret *s = map_find_cstr(&all->secrets, key);
    return s && *s->ca ? s : NULL;
}

const struct auth_secret *auth_objects_backend(const struct auth_objects *all, const char *key,
                                               bool verify)
{
    const struct auth_secret *s = map_find_cstr(&all->secrets, key);
    bool usable = s && !s->broken && (*s->ca || (*s->cert && !verify));
    return usable ? s : NULL;
}

/* ---- fields ---- */

/* Values are literal: variables of another server's language would be sent as they stand. */
static bool field_is_good(const char *name, const json_t *value)
{
    const char *text = json_string_value(value);
    return text && http_is_token(str_from(name)) && http_is_value(str_from(text)) &&
           !strchr(text, '$');
}

void auth_objects_put_config_map(struct auth_objects *all, const char *key,
                                 const json_t *config_map, struct buf *wrong)
{
    const char *name;
    json_t *value;
    VEC(struct auth_field) list = {0};
    if (!config_map) {
        fields_free(map_remove_cstr(&all->config_maps, key));
        return;
    }
    json_object_foreach(json_at(config_map, "data"), name, value)
    {
        if (field_is_good(name, value) && list.n < FIELDS_MAX)
            vec_push(&list, (struct auth_field){xstrdup(name), xstrdup(json_string_value(value))});
        else
            buf_addf(wrong, "%s%.100s: it is no field with a literal value", wrong->n ? "; " : "",
                     name);
    }
    struct auth_fields *f = NEW(struct auth_fields);
    f->v = list.v;
    f->n = list.n;
    fields_free(map_put_cstr(&all->config_maps, key, f));
}

const struct auth_fields *auth_objects_fields(const struct auth_objects *all, const char *key)
{
    return map_find_cstr(&all->config_maps, key);
}
