#pragma once
/* What the parts of the node share: the node, its pods, their containers. See README-node.md for
 * who calls whom. */

#include "base/log.h"
#include "base/map.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "lab/container_log.h"
#include "lab/node.h"
#include "lab/pod_env.h"
#include "lab/pod_inputs.h"
#include "lab/pod_net.h"
#include "lab/probe.h"
#include "lab/volume.h"

struct kubelet_server;
struct node_announce;
struct probe_run;

struct node {
    const struct node_options *options;
    struct loop *loop;
    struct kube_client *client;
    struct event_recorder *events;
    struct informer *pods_informer;
    struct informer *nodes_informer;
    struct map pods; /* "namespace/name" -> struct pod */
    struct pod_net_pool pool;
    char *service_host; /* the kubernetes Service, as told to containers */
    char *service_port;
    struct loop_timer *lease_timer;
    json_t *lease; /* last known, NULL = make it */
    bool registered;
    struct kubelet_server *server;
    struct node_announce *announce;
};

enum pod_step {
    POD_FETCH, /* waiting for ConfigMaps, Secrets and tokens */
    POD_INIT,  /* init containers, one after the other */
    POD_RUN,
    POD_STOPPING, /* told to end, waiting */
    POD_OVER,     /* nothing runs and nothing will */
    POD_REMOVED,  /* gone from the API */
};

enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

struct pod_container {
    struct pod *pod;
    const json_t *spec; /* inside pod->object's first version; see pod->spec */
    const char *name;
    bool is_init;
    bool is_sidecar; /* an init container with restartPolicy Always */
    enum container_state state;
    char *reason; /* of WAITING or TERMINATED */
    char *message;
    int exit_code;
    int signo;
    char *id;
    int64_t started_s;
    int64_t finished_s;
    uint64_t started_ms; /* monotonic */
    json_t *last_state;
    unsigned restarts;
    unsigned runs;   /* starts of this node process */
    bool was_killed; /* by a failed probe */
    pid_t pid;       /* 0 = none */
    uint64_t backoff_ms;
    struct loop_timer *retry;
    struct container_log *log;
    char *last_log; /* path of the run before */
    struct probe_run *probes[_PROBE_KINDS];
    bool started;
    bool ready;
};

struct pod {
    struct node *node;
    char *key; /* namespace/name */
    char *ns;
    char *name;
    char *uid;
    char *dir;
    json_t *object; /* the newest from the API */
    json_t *spec;   /* of the first version: containers cannot be added later */
    enum pod_step step;
    bool host_network;
    struct pod_net net;
    int ipcns;
    int utsns;
    struct pod_inputs *inputs;
    struct pod_container *containers; /* init containers first */
    size_t n_containers;
    size_t n_init;
    int64_t start_s;
    const char *waiting; /* why no container starts yet */
    char *failed_reason; /* the pod failed as a whole */
    struct loop_timer *retry;
    struct loop_timer *grace;
    bool was_signalled; /* SIGTERM is out */
    /* status */
    json_t *status_sent;
    struct kube_call *status_call;
    struct kube_call *delete_call;
    bool status_dirty;
};

/* ---- pod.c ---- */
struct pod *pod_new(struct node *n, json_t *object);
void pod_update(struct pod *p, json_t *object);
/* Kills what runs and frees everything. */
void pod_free(struct pod *p);
/* Looks at the pod as a whole and does what is next. */
void pod_advance(struct pod *p);
struct pod_container *pod_container_find(struct pod *p, const char *name);
const char *pod_dir_file(const struct pod *p, char *ret, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- pod_container.c ---- */
void pod_container_start(struct pod_container *c);
void pod_container_stop(struct pod_container *c, int signo);
void pod_container_done(struct pod_container *c);
/* What a further process in the container needs (exec, probes, hooks). Free the two with argv_free.
 */
int pod_container_env(struct pod_container *c, char ***ret_envp, struct err *reterr) NODISCARD;
/* Its next start is a matter of time. */
bool pod_container_waits(const struct pod_container *c);
bool pod_container_restarts(const struct pod_container *c);
/* How long to wait before the next start; grows. Pure. */
uint64_t pod_backoff_next(uint64_t *backoff_ms, uint64_t ran_ms);

/* ---- pod_status.c ---- */
json_t *pod_status_build(struct pod *p);
/* Sends the status if it changed; one call at a time. */
void pod_status_push(struct pod *p);

/* ---- pod_files.c: /etc/hosts, /etc/resolv.conf, mounts ---- */
int pod_files_make(struct pod *p, struct err *reterr) NODISCARD;
int pod_container_mounts(struct pod_container *c, container_mounts *ret, struct err *reterr)
    NODISCARD;
const char *pod_hostname(const struct pod *p);

/* ---- probe_run.c ---- */
void probes_start(struct pod_container *c);
void probes_stop(struct pod_container *c);
void probes_stop_liveness(struct pod_container *c);
/* Recomputes started and ready from the verdicts. */
void probes_settle(struct pod_container *c);

/* ---- kubelet.c, node_announce.c ---- */
/* node.c: the informer shows our own Node object. */
void node_saw_itself(struct node *n, const json_t *node);
int kubelet_server_new(struct node *n, struct kubelet_server **ret, struct err *reterr) NODISCARD;
void kubelet_server_free(struct kubelet_server *s);
