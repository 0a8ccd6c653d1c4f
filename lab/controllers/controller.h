#pragma once
/* The frame of the lab's controllers: shared informers, one work queue per controller, and a sync
 * that is over when all the API calls it made are answered. Controllers are ordinary clients:
 * nothing here knows the API server's inside. */

#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "lab/object_reading.h"

struct controllers;
struct controller;
struct sync;

enum watched {
    WATCHED_NAMESPACE,
    WATCHED_NODE,
    WATCHED_POD,
    WATCHED_SERVICE,
    WATCHED_ENDPOINTS,
    WATCHED_ENDPOINTSLICE,
    WATCHED_DEPLOYMENT,
    WATCHED_REPLICASET,
    WATCHED_REPLICATIONCONTROLLER,
    WATCHED_DAEMONSET,
    WATCHED_JOB,
    WATCHED_SERVICEACCOUNT,
    WATCHED_CONFIGMAP,
    WATCHED_SECRET,
    WATCHED_LEASE,
    _WATCHED_MAX,
};

/* How a watched kind is named and reached (watched.c). */
struct watched_kind {
    const char *kind, *api_version;
    const char *path; /* up to the namespace */
    const char *plural;
};
extern const struct watched_kind watched_kinds[_WATCHED_MAX];
enum { WATCHED_PATH_BYTES = 800 };
void watched_path(enum watched kind, const json_t *object, char ret[WATCHED_PATH_BYTES]);

/* What objects can be found by (controller_index.c). */
enum index_by {
    INDEX_LABEL,     /* pods, slices, replica sets: index_pair(ns, name, value) */
    INDEX_NAMESPACE, /* pods, replica sets, deployments */
    INDEX_OWNER,     /* every kind: uid of an owner */
    INDEX_WAITING,   /* pods without a node: "" */
    INDEX_SELECTOR,  /* services: index_selector(ns, spec.selector) */
    _INDEX_MAX,
};

struct controller_kind {
    const char *name;
    /* An object appeared, changed or went: put the keys it concerns into the queue. */
    void (*on_change)(struct controller *c, enum watched kind, json_t *object, bool deleted);
    /* Bring the world nearer to what key wants. Reads caches, makes calls with sync_call; never
     * waits. */
    void (*sync)(struct sync *s, const char *key);
    /* Once a second. May be NULL. */
    void (*on_tick)(struct controller *c);
    /* A sync of key failed and will be repeated. May be NULL. */
    void (*on_failed)(struct controller *c, const char *key);
};

struct controllers_options {
    struct str root_ca_pem; /* kube-root-ca.crt in every namespace */
    const char *lb_pool_v4; /* "first-last", or NULL */
    const char *lb_pool_v6;
    uint64_t node_grace_ms; /* lease older than this: NotReady; 0 = 40 s */
};

/* kinds: the controllers to run; the table outlives them. */
struct controllers *controllers_start(struct kube_client *c, const struct controllers_options *o,
                                      const struct controller_kind *const *kinds, size_t n);
void controllers_free(struct controllers *cs);

/* ---- for the controllers ---- */

const struct controllers_options *controllers_options_of(const struct controllers *cs);
struct controllers *controller_set(struct controller *c);
struct informer *controllers_informer(struct controllers *cs, enum watched kind);

/* For how long time has gone on evenly here and the server was heard: what other clients did not do
 * for so long, they did not do. After a start, a suspend of the machine, a stepped clock or a lost
 * server it begins anew. To be asked once a second. */
uint64_t controllers_awake_ms(struct controllers *cs);

/* Objects by index: for (size_t at = 0; controllers_next(cs, kind, by, value, &at, &object);).
 * value NULL finds nothing. */
bool controllers_next(struct controllers *cs, enum watched kind, enum index_by by,
                      const char *value, size_t *at, json_t **ret);
/* Inside on_change: the object as it was before, NULL if it is new (or deleted: object says it). */
const json_t *controllers_before(const struct controllers *cs);
/* Values of indexes; the caller frees. The second is NULL for an empty selector: what it selects
 * has at least the label that comes first. */
char *index_pair(const char *ns, const char *name, const char *value);
char *index_selector(const char *ns, const json_t *match_labels);

/* Adds a key to the controller's queue; many times is once. "ns/name" or "name". */
void controller_enqueue(struct controller *c, const char *key);
/* At the earliest of the times asked for. */
void controller_enqueue_after(struct controller *c, const char *key, uint64_t after_ms);
void controller_enqueue_object(struct controller *c, const json_t *object);

/* Reads the object at path and offers it to the cache of kind. */
void controller_refresh(struct controller *c, enum watched kind, const char *path);

/* A recorder for each controller: what one says often leaves the others their share. */
struct event_recorder *controller_events(struct controller *c);

struct controller *sync_controller(struct sync *s);
struct controllers *sync_set(struct sync *s);
const char *sync_key(const struct sync *s);
/* A call that belongs to this sync. The answer's object is offered to the cache of kind
 * (_WATCHED_MAX: none). A failure (but 404 of a DELETE and 409 AlreadyExists of a POST) makes the
 * key come again with back-off. body stays the caller's. */
void sync_call(struct sync *s, enum watched kind, const char *method, const char *path,
               const char *content_type, const json_t *body);
/* The same; then is told the answer, whatever it is, after the cache and the sync were. text is
 * copied. */
typedef void sync_answer_fn(struct sync *s, enum watched kind, const struct kube_result *r,
                            const char *text);
void sync_call_then(struct sync *s, enum watched kind, const char *method, const char *path,
                    const char *content_type, const json_t *body, const char *text,
                    sync_answer_fn *then);
/* A GET that belongs to this sync; fn is told the answer and may make further calls of the sync.
 * Only 200 and 404 are answers: anything else fails the sync. text is copied. */
void sync_ask(struct sync *s, enum watched kind, const char *path, const char *text,
              sync_answer_fn *fn);
/* What this controller wants to remember from sync to sync: texts, thrown away whole when there are
 * too many. */
void controller_remember(struct controller *c, const char *text);
bool controller_remembers(const struct controller *c, const char *text);
/* What a sync takes along from answer to answer: done is called when it ends, however it does. */
void sync_keep(struct sync *s, void *kept, void (*done)(void *kept));
void *sync_kept(const struct sync *s);
/* The key shall come again after a while although nothing failed. */
void sync_again_after(struct sync *s, uint64_t after_ms);

/* ---- owners (ownership.c) ---- */

/* A reference that says "controller". */
json_t *owner_reference_to(enum watched kind, const json_t *owner);
/* Takes the owner's uid out of the object's references. */
void owner_forget(struct sync *s, enum watched kind, const json_t *object, const char *uid);
struct owner_rule {
    enum watched owner_kind, kind;
    const json_t *(*match_labels)(const json_t *owner); /* the plain part of the selector */
    bool (*selects)(const json_t *owner, const json_t *object);
    bool (*counts)(const json_t *object); /* others are left as they are */
};
/* Where spec.selector is a LabelSelector. */
const json_t *owner_match_labels(const json_t *owner);
bool owner_selects(const json_t *owner, const json_t *object);

struct objects {
    json_t **v;
    size_t n;
    size_t cap;
};
/* The objects that are the owner's, or become so. One that is the owner's but not selected is
 * released, one that is nobody's but selected is adopted; neither by an owner that is being
 * deleted. */
void owner_collect(struct sync *s, const struct owner_rule *rule, const json_t *owner,
                   struct objects *ret);

/* ---- pods of a template (template_pods.c) ---- */

/* A pod as the owner's spec.template says, that is the owner's: without a name. Owned. */
json_t *template_pod(enum watched owner_kind, const json_t *owner);
/* Calls that tell the owner of what has become of them by Events. The first takes the pod. */
void template_pod_create(struct sync *s, enum watched owner_kind, json_t *pod);
void template_pod_delete(struct sync *s, enum watched owner_kind, const json_t *pod);
/* Is the pod ready for minReadySeconds? If it only needs time, *ret_wait_s becomes what is left, if
 * that is less (0: nothing yet). */
bool pod_is_available(const json_t *pod, int64_t min_ready_s, int64_t *ret_wait_s);
/* Ten characters of a stable hash, of the alphabet Kubernetes uses in names. */
void template_hash(const json_t *template, int64_t collisions, char ret[11]);
/* A pod was made, changed or went: the owner's key, and that of who had it before, of this kind.
 * True: it has no controller, and may be adopted. */
bool enqueue_pod_owners(struct controller *c, enum watched owner_kind, const json_t *pod,
                        bool deleted);

/* The controllers; controllers_command.c has the table. */
extern const struct controller_kind replicaset_controller;
extern const struct controller_kind replication_controller;
extern const struct controller_kind deployment_controller;
extern const struct controller_kind daemonset_controller;
extern const struct controller_kind job_controller;
extern const struct controller_kind endpointslice_controller;
extern const struct controller_kind endpoints_controller;
extern const struct controller_kind mirroring_controller;
extern const struct controller_kind garbage_controller;
extern const struct controller_kind namespace_controller;
extern const struct controller_kind serviceaccount_controller;
extern const struct controller_kind scheduler_controller;
extern const struct controller_kind node_controller;
extern const struct controller_kind loadbalancer_controller;
