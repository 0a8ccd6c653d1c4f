#pragma once
/* The webhooks of all configurations as the server asks them: in order, with selectors and trust
 * read once; and which of them is asked about a request. Immutable, reference-counted. */

#include "kube/selector.h"
#include "lab/apiserver/api_kind.h"
#include "net/tls.h"

struct webhook {
    const char *name; /* borrowed from spec */
    json_t *spec;     /* the webhook of its configuration */
    bool mutating;
    bool fails_open;                  /* failurePolicy Ignore */
    bool exact;                       /* matchPolicy */
    bool again;                       /* reinvocationPolicy IfNeeded */
    bool all_namespaces, all_objects; /* the selectors select all */
    bool no_namespaces, no_objects;   /* … nothing */
    uint64_t timeout_s;
    struct selector namespaces, objects;
    struct tls_context *tls; /* NULL: its caBundle cannot be used */
    struct err tls_error;
};

struct webhook_set {
    uint32_t refs;
    struct webhook *v;
    size_t n;
    size_t cap;
};

/* A request as webhooks are chosen for it. */
struct webhook_subject {
    const char *operation; /* CREATE, UPDATE, DELETE */
    const struct api_kind *kind;
    const char *subresource;        /* NULL: none */
    const char *ns;                 /* "": of the cluster */
    const json_t *namespace_labels; /* of ns */
    const json_t *object, *old;     /* NULL: none */
};

/* The webhooks of one configuration, behind those that are there. */
void webhook_set_add(struct webhook_set *s, const json_t *configuration, bool mutating);
struct webhook_set *webhook_set_ref(struct webhook_set *s);
void webhook_set_unref(struct webhook_set *s); /* NULL is allowed */

/* What a configuration asks for and this server does not do; fn is called with each. */
void warn_of_webhooks(const json_t *configuration, void (*fn)(void *user, const char *text),
                      void *user);

/* As which kind the webhook is asked about the request: its own, or with matchPolicy Equivalent
 * another version of it. NULL: it is not asked. */
const struct api_kind *webhook_matches(const struct webhook *h, const struct webhook_subject *s);
