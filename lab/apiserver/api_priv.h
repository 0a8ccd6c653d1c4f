#pragma once
/* The API server's inside: one server object, one request object, and what its files call of each
 * other. */

#include "lab/apiserver/alloc.h"
#include "lab/apiserver/api_kind.h"
#include "lab/apiserver/api_server.h"
#include "lab/apiserver/store.h"
#include "net/http_client.h"
#include "net/http_server.h"

enum {
    API_BODY_BYTES_MAX = 3 * 1024 * 1024, /* as kube-apiserver has it */
    API_HEADERS_MAX = 24,
    API_WATCH_QUEUE_BYTES_MAX = 8 * 1024 * 1024,
    API_VALUES_MAX = 200000, /* of a body, as in codec/yaml.h */
    API_WATCHES_MAX = 8192,
    API_HELD_MAX = 4096, /* writes that wait for webhooks */
    API_BEGIN_ANEW_MAX = 5,
    API_WARNING_BYTES_MAX = 256, /* one */
    API_WARNINGS_BYTES_MAX = 4096,
};

struct api_request;

/* How an object is shown: the answer to the Accept header. */
enum api_view {
    API_VIEW_JSON,
    API_VIEW_TABLE,        /* rows with PartialObjectMetadata */
    API_VIEW_TABLE_OBJECT, /* includeObject=Object */
    API_VIEW_TABLE_NONE,   /* includeObject=None */
    API_VIEW_PARTIAL,      /* PartialObjectMetadata(List) */
    _API_VIEW_MAX,
};

struct api_user {
    char *name;
    char **groups;
    size_t n_groups;
    size_t cap_groups;
    bool impersonated; /* by one who may */
};

struct api_request {
    struct api_server *server;
    struct http_exchange *exchange;
    struct api_user user;
    struct str query;
    const struct api_kind *kind; /* NULL: not an object path */
    uint32_t kind_index;
    char *ns;              /* "" = all namespaces or cluster-scoped */
    char *name;            /* NULL = the collection */
    char *subresource;     /* NULL = the object itself */
    struct str proxy_path; /* of pods/proxy and services/proxy: what stands behind, as it came */
    enum api_view view;
    bool dry_run;
    bool watch;           /* asked for by the path (/api/v1/watch/…) or the query */
    bool yaml;            /* as Accept says */
    bool pretty;          /* JSON for people */
    json_t *managed;      /* managedFields from now on; NULL: as they were */
    bool managed_changed; /* beside the times */
    bool name_generated;  /* of what is created */
    uint8_t begun_anew;   /* because of others' writes while webhooks were asked */
    struct buf warnings;  /* "Warning: 299 - …" values, one per line */
    char audit_id[64];
    char date[32];
};

struct api_watch;

struct api_server {
    struct loop *loop;
    struct api_config config;
    struct store *store;
    struct alloc alloc; /* what Services hold */
    struct store_kind *store_kinds;
    struct http_server *http;
    struct tls_context *tls;
    struct tls_context *kubelet_tls;
    struct list_node *watches; /* one list head per kind */
    struct api_event_cache *event_cache;
    struct loop_timer *bootstrap_timer;
    struct loop_timer *custom_timer;
    struct loop_timer *garbage_timer;
    VEC(char *) garbage; /* uids of owners that have gone; see custom_garbage.c */
    struct api_rbac *rbac;
    void (*dispatch)(struct api_request *r); /* of a request that has to begin anew */
    struct webhook_set *webhooks[2];         /* validating, mutating; NULL: to be read again */
    struct {
        uint64_t calls, refused, failed;
        size_t held;
    } webhook_stats;
    uint64_t watch_encodes[_API_VIEW_MAX];
    uint64_t requests;
    uint64_t watches_open;
    uint64_t watches_dropped;
};

/* api_answer.c: every answer that is not a stream. */
void api_reply_json(struct api_request *r, int status, struct str json);
void api_reply_object(struct api_request *r, int status, const json_t *object);
void api_reply_stored(struct api_request *r, int status, const struct object *o);
void api_status(struct api_request *r, int code, const char *reason, const json_t *details,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void api_not_found(struct api_request *r, const char *name);
/* 409: the request was made from an older version. */
void api_conflict(struct api_request *r);
/* 429 with Retry-After. */
void api_too_many(struct api_request *r, const char *why);
/* {"name":…,"group":…,"kind":…} of the request's object; new reference. */
json_t *api_details(const struct api_request *r, const char *name);
/* 422 Invalid from causes. */
void api_invalid(struct api_request *r, const char *name, const struct api_causes *causes);
/* The same for a message that is not of the request's kind. */
void api_invalid_as(struct api_request *r, const char *group, const char *kind, const char *name,
                    const struct api_causes *causes);
void api_warn(struct api_request *r, const char *text);
/* Behind the first n: what every answer carries (warnings, Audit-Id, Cache-Control, Date). The
 * whole number; they borrow from r. */
size_t api_headers(struct api_request *r, struct http_header headers[API_HEADERS_MAX], size_t n);
/* The body text of a Status, for places that have no request. */
void api_status_body(struct buf *b, int code, const char *reason, const char *message);
void api_request_free(struct api_request *r);

/* api_user.c */
void api_user_add_group(struct api_user *u, struct str group);
void api_user_done(struct api_user *u);

/* api_rbac.c: what roles allow. path NULL: about objects, resource with its subresource
 * ("pods/log"), name "" for none, ns "" for the cluster. */
struct api_ask {
    const char *verb, *group, *resource, *name, *ns, *path;
};
/* Is that user held to roles? Others may do everything. */
bool api_rbac_holds(const struct api_user *u);
bool api_rbac_allows(struct api_server *s, const struct api_user *u, const struct api_ask *a);
/* All rules that hold for the user in ns; a new array. */
json_t *api_rbac_rules(struct api_server *s, const struct api_user *u, const char *ns);
/* False: answered with 403. The path is taken apart already. */
bool api_authorize(struct api_request *r, struct str method, struct str path);
/* False: answered, a role or binding would give what its writer has not. */
bool api_rbac_admit(struct api_request *r, const json_t *object);
void api_rbac_event(struct api_server *s, const struct store_event *e);
void api_rbac_metrics(struct api_server *s, struct buf *b);
void api_rbac_done(struct api_server *s);
/* api_rbac_roles.c: the roles that every cluster has, put in their form at the start. */
const char *api_rbac_roles(void); /* JSON */

/* api_impersonate.c: whom the headers ask for takes the caller's place; false: answered. */
bool api_impersonate(struct api_request *r);

/* api_auth.c */
int api_authenticate(struct api_server *s, struct http_exchange *x, struct api_user *ret) NODISCARD;
/* audiences NULL or empty: a token for this server itself. ret_for (may be NULL): those of the
 * audiences that an account's token is meant for; a new reference. */
bool api_authenticate_token(struct api_server *s, struct str token, const json_t *audiences,
                            struct api_user *ret, json_t **ret_for);
void api_token_request(struct api_request *r);
/* Access, rules, subject and token reviews: answered, never stored. */
void api_review(struct api_request *r);

/* api_discovery.c: true if the path was one of discovery's. */
bool api_discovery(struct api_request *r, struct str path);

/* api_openid.c: true if the path was one of OpenID's. */
bool api_openid(struct api_request *r, struct str path);

/* api_absent.c: what to say of a path that Kubernetes serves and we do not; NULL: nobody does. */
const char *api_absent_hint(struct str group, struct str plural, struct str subresource);

/* api_read.c */
void api_get(struct api_request *r);
void api_list(struct api_request *r);
/* False: answered, there is no such version yet. */
bool api_version_reached(struct api_request *r, uint64_t version);

/* api_options.c: false = answered. The write check also sets r->dry_run. */
bool api_options_check(struct api_request *r, bool watch);
bool api_write_options_check(struct api_request *r);
bool api_log_options_check(struct api_request *r);
/* 422 about one option; options names the set ("DeleteOptions"). Returns false. */
bool api_invalid_option(struct api_request *r, const char *options, const char *field,
                        const char *reason, const char *message);

/* api_past.c: a kind as it was at an earlier version (not before store_oldest_version). */
struct api_past_change {
    const struct object *key;
    struct object *was; /* NULL: it was not there */
    uint64_t age;
};
struct api_past {
    const struct store *store;
    uint32_t kind;
    size_t at;
    size_t change_at;
    VEC(struct api_past_change) changes; /* what has to be taken back, in order of (ns, name) */
};
void api_past_init(struct api_past *p, const struct store *store, uint32_t kind, uint64_t version);
void api_past_done(struct api_past *p);
/* To the first object not before (ns, name). */
void api_past_seek(struct api_past *p, const char *ns, const char *name);
struct object *api_past_next(struct api_past *p); /* borrowed; NULL = no more */

/* api_selection.c: which objects a list or watch is about. */
struct api_selection {
    const struct api_kind *kind;
    char *ns; /* "" = all */
    struct label_selector *labels;
    struct field_selector *fields;
};
int api_selection_parse(struct api_request *r, struct api_selection *ret, struct err *reterr)
    NODISCARD;
void api_selection_done(struct api_selection *s);
bool api_selection_matches(const struct api_selection *s, const struct object *o);

/* api_view.c: encodings. */
int api_view_of(struct str accept, struct str query, enum api_view *ret, bool *ret_yaml) NODISCARD;
/* columns: a Table says what they are; of a watch only the first event does. */
void api_view_write(struct buf *b, enum api_view view, const struct api_kind *kind,
                    struct object *o, bool columns);
bool api_view_is_table(enum api_view view);
void api_view_list_begin(struct buf *b, enum api_view view, const struct api_kind *kind);
void api_view_list_item(struct buf *b, enum api_view view, const struct api_kind *kind,
                        struct object *o, bool first);
void api_view_list_end(struct buf *b, enum api_view view, uint64_t version, const char *continue_,
                       uint64_t remaining);

/* api_stream.c: a long answer, chunked or a WebSocket. on_over: it is gone, whoever ended it. */
struct api_stream;
struct api_stream_ops {
    void (*on_drain)(void *user);
    void (*on_over)(void *user);
};
struct api_stream *api_stream_open(struct api_request *r, const struct api_stream_ops *ops,
                                   void *user);
void api_stream_write(struct api_stream *s, struct bytes *event);
size_t api_stream_queued(const struct api_stream *s);
void api_stream_finish(struct api_stream *s); /* after what is queued */
void api_stream_abort(struct api_stream *s);  /* at once; on_over is called */

/* api_watch.c */
void api_watch(struct api_request *r);
void api_watch_event(struct api_server *s, const struct store_event *e);
void api_watch_end_kind(struct api_server *s, uint32_t kind);
void api_watch_init(struct api_server *s);
void api_watch_done(struct api_server *s);

/* api_body.c: what a client sent. */
/* Reads the body into an object of the request's kind (JSON, YAML or protobuf); answers the error
 * itself. */
int api_read_body(struct api_request *r, const struct api_kind *kind, json_t **ret) NODISCARD;
/* A tree of a kind to its kept form: the kind is the one meant, types are right, unknown fields are
 * told; answers the error itself. */
int api_settle_body(struct api_request *r, const struct api_kind *kind, json_t *object,
                    const char *duplicate) NODISCARD;
/* Same for a message that is no kind (DeleteOptions, Scale, TokenRequest): unknown fields are
 * dropped. An empty body is {}. */
int api_read_message(struct api_request *r, const struct schema *s, json_t **ret) NODISCARD;
/* A patch in any of the forms, and what it makes of *object, whose table is schema; both answer the
 * error themselves. */
int api_read_patch(struct api_request *r, char duplicate[128], json_t **ret) NODISCARD;
int api_apply_patch(struct api_request *r, const struct schema *schema, const json_t *patch,
                    json_t **object) NODISCARD;

/* api_write.c */
void api_create(struct api_request *r);
void api_update(struct api_request *r);
void api_patch(struct api_request *r);
/* Defaults, validates and commits a changed object; answers. old NULL = create. */
/* The ends of a create and of a change, for who has made the object otherwise than these. */
void api_create_object(struct api_request *r, json_t *object);
void api_commit_change(struct api_request *r, json_t *object, struct object *old);
void api_commit(struct api_request *r, json_t *object, struct object *old, int status);

/* Is the object valid for the request's kind? False: answered. */
bool api_check(struct api_request *r, const json_t *object);

/* api_manage.c: who manages which fields. */
/* before NULL: created. Takes what a client sent as managedFields out of now. */
void api_manage_update(struct api_request *r, const json_t *before, const struct object *old,
                       json_t *now);
/* PATCH with application/apply-patch+yaml. */
void api_apply(struct api_request *r);

/* api_admission.c: what a cluster's admission adds to new objects; false: answered. */
bool api_admit_create(struct api_request *r, json_t *object);

/* api_delete.c */
void api_delete(struct api_request *r);
void api_evict(struct api_request *r);
void api_delete_collection(struct api_request *r);
/* All of a kind, but what finalizers hold: how many are left, or a negative errno. */
int api_delete_all(struct api_server *s, uint32_t kind, struct err *reterr) NODISCARD;
/* As if a client had asked for it; the caller holds a reference. 1 = gone. */
int api_delete_object(struct api_server *s, struct object *old, const char *policy,
                      struct err *reterr) NODISCARD;
/* Commits a deletion step. 0 = still there (*ret, which may be NULL, is the new state), 1 = gone,
 * negative errno. */
int api_delete_step(struct api_server *s, uint32_t kind, json_t *object, struct object *old,
                    struct object **ret, struct err *reterr) NODISCARD;
/* Removes for good if nothing holds the object any more; otherwise stores it. Answers with the
 * object. */
void api_finish_delete(struct api_request *r, json_t *object, struct object *old);

/* api_subresource.c */
void api_subresource(struct api_request *r);

/* api_proxy.c: pods/proxy and services/proxy. */
void api_proxy(struct api_request *r);
/* A ready endpoint of a Service, chosen by chance, for the port that is meant by name or number
 * ("": the first). -ENOENT: no such port; -EADDRNOTAVAIL: nobody is ready. */
int api_service_endpoint(struct api_server *s, const char *ns, const json_t *service,
                         const char *wanted_port, struct ip *ret_ip, uint16_t *ret_port) NODISCARD;

/* api_webhooks.c: who is asked before a write is done. A write that is held goes on by `next`,
 * with the object as it has become, or is answered; one that began before somebody else's write to
 * the same object begins anew. */
typedef void api_webhooks_next_fn(struct api_request *r, json_t *object, struct object *old,
                                  int status);
/* False: nobody is asked, go on. Object NULL: a deletion. */
bool api_webhooks_mutate(struct api_request *r, json_t *object, struct object *old, int status,
                         api_webhooks_next_fn *next);
bool api_webhooks_validate(struct api_request *r, json_t *object, struct object *old, int status,
                           api_webhooks_next_fn *next);
void api_webhooks_event(struct api_server *s, const struct store_event *e);
void api_webhooks_done(struct api_server *s);
void api_webhooks_metrics(const struct api_server *s, struct buf *b);

/* api_tunnel.c: log, exec, attach through the node. */
void api_tunnel(struct api_request *r);

/* api_bootstrap.c: what this server makes by itself and keeps up. */
int api_bootstrap(struct api_server *s, struct err *reterr) NODISCARD;
void api_bootstrap_done(struct api_server *s);
void api_bootstrap_event(struct api_server *s, const struct store_event *e);
/* The address of default/kubernetes, kept for it while it is away. */
struct ip api_own_cluster_ip(const struct api_server *s);
bool api_is_own_service(const json_t *service);

/* api_service.c: addresses and ports of Services. Changes object in place; errors tell what is
 * wrong, an internal one what could not be had. before NULL: create. */
void api_service_prepare(struct api_server *s, json_t *object, const json_t *before,
                         struct field_errors *e);

/* api_service_ports.c: all of specs. What an update leaves out, what is new, and what a new type
 * does not have. */
void api_service_keep_ports(json_t *spec, const json_t *old);
void api_service_settle_ports(const struct api_server *s, json_t *object, const json_t *old,
                              struct field_errors *e);
void api_service_drop_ports(json_t *spec, const json_t *old);
