/* One list, looked through as a whole: there are few. */
#include "proxy/file_secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "proxy/own_secret.h"

enum {
    LOOK_MS = 20 * 1000, /* between two looks */
    FILE_BYTES_MAX = 1 << 20,
};

/* Where the operating system keeps whom it trusts, by whoever has made it. */
static const char *const systems[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL 6 */
    "/etc/ssl/ca-bundle.pem",             /* OpenSUSE */
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* CentOS, RHEL 7 */
    "/etc/ssl/cert.pem",
};

struct file_secret {
    char *name;
    uint64_t hash; /* of what it was given as; 0: it never was */
    bool told;     /* that it cannot be read */
};

struct file_secrets {
    struct loop *loop;
    struct store *store;
    struct map all; /* name -> struct file_secret */
    struct loop_timer *look;
    struct loop_call give;
    unsigned serial;
};

static int read_file(const char *path, struct buf *to)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char part[4096];
    ssize_t n;
    if (fd < 0)
        return -errno;
    while ((n = read(fd, part, sizeof(part))) > 0) {
        if (to->n + (size_t)n > FILE_BYTES_MAX)
            return -EFBIG;
        buf_add(to, part, (size_t)n);
    }
    explicit_bzero(part, sizeof(part));
    return n < 0 ? -errno : !to->n ? -ENODATA : 0;
}

static int read_system(struct buf *to)
{
    const char *own = getenv("SSL_CERT_FILE");
    if (!str_empty(own))
        return read_file(own, to);
    for (size_t i = 0; i < ARRAY_LEN(systems); i++)
        if (access(systems[i], R_OK) == 0)
            return read_file(systems[i], to);
    return -ENOENT;
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->size);
    buf_done(b);
}

static bool is_pair(struct str name)
{
    return str_starts(name, STR(FILE_SECRETS_CERTIFICATE));
}

/* first, second: what it is made of; a certificate and its key, or roots and what they revoke. */
static int read_parts(struct str name, struct buf *first, struct buf *second)
{
    struct str other, path = str_sub(name, strlen(FILE_SECRETS_ROOTS), name.n);
    static_assert(sizeof(FILE_SECRETS_ROOTS) == sizeof(FILE_SECRETS_CERTIFICATE), "one length");
    path = str_cut(path, '~', &other);
    AUTO_CHARS char *path_text = str_dup(path);
    int r =
        is_pair(name) || !str_is(path, "system") ? read_file(path_text, first) : read_system(first);
    if (r < 0 || !other.n)
        return r;
    AUTO_CHARS char *other_text = str_dup(other);
    return read_file(other_text, second);
}

static void give(struct file_secrets *f, struct file_secret *s)
{
    struct buf first = {0}, second = {0};
    int r = read_parts(str_from(s->name), &first, &second);
    uint64_t hash = hash_bytes_seed(first.p, first.n, hash_bytes_seed(second.p, second.n, 1));
    if (r < 0 && !s->told)
        log_warn("a file of certificates cannot be read; it is looked at again",
                 kv_s("name", s->name), kv_s("error", strerror(-r)));
    s->told = r < 0;
    if (r == 0 && hash != s->hash) {
        s->hash = hash; /* one that is refused is not tried again until it changes */
        if (is_pair(str_from(s->name)))
            own_secret_give_certificate(f->store, s->name, ++f->serial, &first, &second);
        else
            own_secret_give_trust(f->store, s->name, ++f->serial, &first, &second);
    }
    wipe(&first);
    wipe(&second);
}

static void on_give(void *user)
{
    struct file_secrets *f = user;
    void *s;
    for (size_t at = 0; map_next(&f->all, &at, NULL, &s);)
        give(f, s);
}

static void on_look(void *user)
{
    struct file_secrets *f = user;
    on_give(f);
    if (f->all.used)
        loop_timer_start(f->look, LOOK_MS);
}

bool file_secrets_has(struct str name)
{
    return str_starts(name, STR(FILE_SECRETS_CERTIFICATE)) ||
           str_starts(name, STR(FILE_SECRETS_ROOTS));
}

static void secret_free(struct file_secret *s)
{
    if (!s)
        return;
    free(s->name);
    free(s);
}

void file_secrets_want(struct file_secrets *f, struct str name, bool wanted)
{
    if (!wanted) {
        secret_free(map_remove(&f->all, name));
        return;
    }
    if (!map_find(&f->all, name)) {
        struct file_secret *s = NEW(struct file_secret);
        s->name = str_dup(name);
        map_put(&f->all, name, s);
    }
    loop_defer_soon(f->loop, &f->give);
    loop_timer_start(f->look, LOOK_MS);
}

struct file_secrets *file_secrets_new(struct loop *l, struct store *s)
{
    struct file_secrets *f = NEW(struct file_secrets);
    f->loop = l;
    f->store = s;
    f->look = loop_timer_new(l, on_look, f);
    loop_call_init(&f->give, on_give, f);
    return f;
}

void file_secrets_free(struct file_secrets *f)
{
    void *s;
    if (!f)
        return;
    for (size_t at = 0; map_next(&f->all, &at, NULL, &s);)
        secret_free(s);
    map_done(&f->all);
    loop_call_cancel(&f->give);
    loop_timer_free(f->look);
    free(f);
}
