/* Image names to commands.
 *
 * The lab has no images: a container runs a program of the host. This table says which, for our own
 * images and for the names that tutorials use. Those stand for servers that are not installed here,
 * so they answer with fairlead-echo on the original's port; arguments meant for the original are
 * not given to it. Tools (busybox, alpine, …) run the manifest's command on the host's files, and
 * wait when there is none. */
#include "lab/image.h"

#include <ctype.h>
#include <errno.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/json.h"
#include "lab/node/container.h"

#define ECHO CONTAINER_BIN "/fairlead-echo"
#define LABD CONTAINER_BIN "/fairlead-labd"
/* PID 1 gets no default action for SIGTERM: something must catch it. */
#define WAIT "sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"

struct builtin {
    const char *name;
    const char *argv[6];
    bool keeps_args;    /* of a mode of fairlead-echo: it knows its original's */
    bool no_entrypoint; /* a tool: the manifest's args are the command, as with Docker's CMD */
};

static const struct builtin builtins[] = {
    {"fairlead-echo", {ECHO}, true, false},
    {"fairlead/echo", {ECHO}, true, false},
    {"fairlead/fairlead-echo", {ECHO}, true, false},
    {"fairlead/dns", {LABD, "dns"}, true, false},
    {"fairlead/control", {CONTAINER_BIN "/fairlead-control"}, true, false},
    {"fairlead/proxy", {CONTAINER_BIN "/fairlead-proxy"}, true, false},
    {"nginx", {ECHO, "--http", "80"}, false, false},
    {"httpd", {ECHO, "--http", "80"}, false, false},
    {"caddy", {ECHO, "--http", "80"}, false, false},
    {"traefik/whoami", {ECHO, "--as", "whoami"}, true, false},
    {"nginxdemos/hello", {ECHO, "--http", "80"}, false, false},
    {"kennethreitz/httpbin", {ECHO, "--as", "httpbin"}, true, false},
    {"mccutchen/go-httpbin", {ECHO, "--as", "go-httpbin"}, true, false},
    {"python", {ECHO, "--http", "8000,8080"}, false, false},
    {"node", {ECHO, "--http", "3000,8080"}, false, false},
    {"hashicorp/http-echo", {ECHO, "--http", "5678"}, false, false},
    {"ealen/echo-server", {ECHO, "--as", "echo-server"}, true, false},
    {"e2e-test-images/agnhost", {ECHO, "--as", "agnhost"}, true, false},
    {"e2e-test-images/echoserver", {ECHO, "--http", "8080"}, false, false},
    {"e2e-test-images/nginx", {ECHO, "--http", "80"}, false, false},
    {"e2e-test-images/httpd", {ECHO, "--http", "80"}, false, false},
    {"echoserver", {ECHO, "--http", "8080"}, false, false},
    {"google-samples/hello-app", {ECHO, "--http", "8080"}, false, false},
    {"podinfo", {ECHO, "--as", "podinfo"}, true, false},
    {"stefanprodan/podinfo", {ECHO, "--as", "podinfo"}, true, false},
    {"containous/whoami", {ECHO, "--as", "whoami"}, true, false},
    {"kuar-demo/kuard-amd64", {ECHO, "--as", "kuard"}, true, false},
    {"kuar-demo/kuard", {ECHO, "--as", "kuard"}, true, false},
    {"jmalloc/echo-server", {ECHO, "--as", "jmalloc-echo-server"}, true, false},
    {"istio/examples-bookinfo-productpage-v1", {ECHO, "--as", "productpage"}, true, false},
    {"istio/examples-bookinfo-details-v1", {ECHO, "--as", "details"}, true, false},
    {"istio/examples-bookinfo-ratings-v1", {ECHO, "--as", "ratings"}, true, false},
    {"istio/examples-bookinfo-reviews-v1", {ECHO, "--as", "reviews-v1"}, true, false},
    {"istio/examples-bookinfo-reviews-v2", {ECHO, "--as", "reviews-v2"}, true, false},
    {"istio/examples-bookinfo-reviews-v3", {ECHO, "--as", "reviews-v3"}, true, false},
    {"redis", {ECHO, "--tcp", "6379"}, false, false},
    {"pause", {WAIT}, false, false},
    {"busybox", {WAIT}, false, true},
    {"alpine", {WAIT}, false, true},
    {"debian", {WAIT}, false, true},
    {"ubuntu", {WAIT}, false, true},
    {"curlimages/curl", {WAIT}, false, true},
    {"nicolaka/netshoot", {WAIT}, false, true},
    {"e2e-test-images/busybox", {WAIT}, false, true},
};

static struct image cache[ARRAY_LEN(builtins)];

bool image_reference_is_valid(const char *reference)
{
    char last = 0;
    if (str_empty(reference) || strlen(reference) > 512)
        return false;
    for (const char *p = reference; *p; p++) {
        bool sep = strchr("/:.-_@+", *p) != NULL;
        if (!isalnum((unsigned char)*p) && !sep)
            return false;
        if (*p == '/' && (last == '/' || last == 0))
            return false;
        last = *p;
    }
    return isalnum((unsigned char)last);
}

/* The reference without digest and tag: cuts at '@', then at a ':' behind the last '/'. */
static struct str without_tag(const char *reference)
{
    struct str rest, s = str_cut(str_from(reference), '@', &rest);
    for (size_t i = s.n; i > 0 && s.p[i - 1] != '/'; i--)
        if (s.p[i - 1] == ':')
            return str_sub(s, 0, i - 1);
    return s;
}

/* Without the registry: a first part that has a dot or a colon, or is localhost; and without
 * "library/". */
static struct str without_registry(struct str s)
{
    struct str rest, first = str_cut(s, '/', &rest);
    if (rest.p && (memchr(first.p, '.', first.n) || memchr(first.p, ':', first.n) ||
                   str_is(first, "localhost")))
        s = rest;
    if (str_starts(s, STR("library/")))
        s = str_sub(s, 8, s.n);
    return s;
}

static const struct image *builtin_at(size_t i)
{
    cache[i].name = (char *)(uintptr_t)builtins[i].name;
    cache[i].command = (char **)(uintptr_t)builtins[i].argv;
    cache[i].keeps_args = builtins[i].keeps_args;
    cache[i].no_entrypoint = builtins[i].no_entrypoint;
    cache[i].is_mode = builtins[i].argv[1] && streq(builtins[i].argv[1], "--as");
    cache[i].stands_in =
        !builtins[i].no_entrypoint && !str_starts(str_from(builtins[i].name), STR("fairlead"));
    return &cache[i];
}

const struct image *image_find(const struct image_table *t, const char *reference)
{
    struct str full = str_from(reference), untagged = without_tag(reference),
               name = without_registry(untagged);
    for (size_t i = t->told.n + t->own.n; i-- > 0;) { /* the last one first */
        const struct image *own = i >= t->own.n ? &t->told.v[i - t->own.n] : &t->own.v[i];
        if (str_is(full, own->name) || str_is(untagged, own->name) || str_is(name, own->name))
            return own;
    }
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (str_is(name, builtins[i].name))
            return builtin_at(i);
    return NULL;
}

void argv_free(char **argv)
{
    for (char **p = argv; p && *p; p++)
        free(*p);
    free(argv);
}

static void image_done(struct image *image)
{
    free(image->name);
    argv_free(image->command);
}

static void forget_told(struct image_table *t)
{
    VEC_FOREACH (image, &t->told)
        image_done(image);
    vec_done(&t->told);
}

void image_table_done(struct image_table *t)
{
    VEC_FOREACH (image, &t->own)
        image_done(image);
    vec_done(&t->own);
    forget_told(t);
}

/* One word of a command, with its quotes removed; NULL at the end, or when a quote does not close.
 */
static char *next_word(const char **p)
{
    struct buf word = {0};
    char quote = 0;
    bool any = false;
    while (isspace((unsigned char)**p))
        ++*p;
    const char *begin = *p;
    for (; **p && (quote || !isspace((unsigned char)**p)); ++*p) {
        any = true;
        if (quote && **p == quote)
            quote = 0;
        else if (!quote && (**p == '\'' || **p == '"'))
            quote = **p;
        else
            buf_add_char(&word, **p);
    }
    if (!any || quote) {
        *p = begin; /* text is left: the caller sees that a quote does not close */
        buf_done(&word);
        return NULL;
    }
    return buf_take_cstr(&word);
}

static int parse(const char *spec, struct image *ret, struct err *reterr)
{
    const char *eq = strchr(spec, '=');
    VEC(char *) words = {0};
    if (!eq || eq == spec)
        return err_set(reterr, -EINVAL, NULL, "--image wants NAME=COMMAND, not \"%s\"", spec);
    if (!json_is_utf8(str_from(spec)))
        return err_set(reterr, -EINVAL, NULL, "--image %s: this is not UTF-8", spec);
    const char *p = eq + 1;
    for (char *word; (word = next_word(&p));)
        vec_push(&words, word);
    vec_push(&words, NULL);
    if (words.n == 1 || *p) {
        argv_free(words.v);
        return err_set(reterr, -EINVAL, NULL,
                       "--image %s: the command is empty or a quote does not close", spec);
    }
    *ret = (struct image){.name = xstrndup(spec, (size_t)(eq - spec)),
                          .command = words.v,
                          .keeps_args = true,
                          .stands_in = true};
    return 0;
}

int image_table_add(struct image_table *t, const char *spec, struct err *reterr)
{
    struct image image;
    int r = parse(spec, &image, reterr);
    if (r == 0)
        vec_push(&t->own, image);
    return r;
}

void image_table_tell(struct image_table *t, struct str text)
{
    struct err ignored;
    forget_told(t);
    while (text.p && text.n) {
        struct image image;
        AUTO_CHARS char *line = str_dup(str_cut(text, '\n', &text));
        if (*line && parse(line, &image, &ignored) == 0)
            vec_push(&t->told, image);
    }
}

static size_t argv_count(char *const *argv)
{
    size_t n = 0;
    while (argv && argv[n])
        n++;
    return n;
}

char **image_argv(const struct image *image, char *const *command, size_t n_command,
                  char *const *args, size_t n_args)
{
    VEC(char *) words = {0};
    size_t n_image = argv_count(image->command);
    bool own = n_command > 0 || (image->no_entrypoint && n_args > 0);
    for (size_t i = 0; i < n_command; i++)
        vec_push(&words, xstrdup(command[i]));
    for (size_t i = 0; i < n_image && !own; i++)
        vec_push(&words, xstrdup(image->command[i]));
    for (size_t i = 0; i < n_args && (own || image->keeps_args); i++)
        vec_push(&words, xstrdup(args[i]));
    if (words.n == 0)
        return NULL;
    vec_push(&words, NULL);
    return words.v;
}
