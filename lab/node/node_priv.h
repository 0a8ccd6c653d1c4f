#pragma once
/* What the parts of the node share: the node, its pods, their containers. See README.md for
 * who calls whom. */

#include "base/log.h"
#include "base/map.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "lab/node/config_watch.h"
#include "lab/node/container_log.h"
#include "lab/node/node.h"
#include "lab/node/pod_env.h"
#include "lab/node/pod_inputs.h"
#include "lab/node/pod_net.h"
#include "lab/node/probe.h"
#include "lab/node/trash.h"
#include "lab/node/volume.h"

struct image_watch;
struct kubelet_server;
struct node_announce;
struct node_host_ports;
struct pod_hook;
struct process_input;
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
    struct informer *services_informer; /* as told to containers; their addresses are announced */
    struct config_watches *configs;
    struct trash *trash;
    struct loop_timer *lease_timer;
    json_t *lease; /* last known, NULL = make it */
    bool registered;
    struct kubelet_server *server;
    struct node_announce *announce;
    struct node_host_ports *host_ports;
    struct image_watch *images; /* NULL = no file of them */
};

enum pod_step {
    POD_FETCH, /* waiting for ConfigMaps, Secrets and tokens */
    POD_INIT,  /* init containers, one after the other */
    POD_RUN,
    POD_STOPPING, /* told to end, waiting */
    POD_OVER,     /* nothing runs and nothing will */
    POD_REMOVED,  /* gone from the API */
};

enum { CONTAINER_GROUPS_MAX = 32, POD_EPHEMERAL_MAX = 16 };

enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

struct pod_container {
    struct loop_call settle; /* of its probes */
    struct pod *pod;
    const json_t *spec; /* inside pod->object's first version; see pod->spec */
    const char *name;
    bool is_init;
    bool is_sidecar;   /* an init container with restartPolicy Always */
    bool is_ephemeral; /* put in while the pod runs (kubectl debug); started once */
    json_t *own_spec;  /* of an ephemeral one */
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
    bool was_killed; /* by a failed probe: it shall end, within */
    int64_t kill_grace_s;
    pid_t pid; /* 0 = none */
    uint64_t backoff_ms;
    struct loop_timer *retry;
    struct loop_timer *kill_timer; /* then SIGKILL; NULL = never needed yet */
    struct pod_hook *hook;         /* that runs now; NULL = none */
    bool is_post_starting;         /* the hook is postStart: not running yet, for the API */
    bool is_ending;                /* preStop or the signal is out */
    char **envp;                   /* of this run; later processes get the same */
    gid_t groups[CONTAINER_GROUPS_MAX];
    size_t n_groups;
    struct container_log *log;
    struct process_input *input; /* stdin: true or tty: true; NULL = none */
    struct list_node attached;   /* who is attached to this run */
    char *last_log;              /* path of the run before */
    struct probe_run *probes[_PROBE_KINDS];
    bool started;
    bool was_started; /* in any run */
    bool ready;
};

struct pod {
    struct node *node;
    struct loop_call advance; /* pod.c's; see pod_changed() */
    char *key;                /* namespace/name */
    char *ns;
    char *name;
    char *uid;
    char *dir;
    json_t *object; /* the newest from the API */
    json_t *spec;   /* of the first version: containers cannot be added later */
    enum pod_step step;
    bool host_network;
    bool has_host_ports; /* now */
    struct pod_net net;
    int ipcns;
    int utsns;
    struct pod_inputs *inputs;
    struct pod_container *containers; /* init containers first, ephemeral ones last */
    size_t n_containers;              /* with room for POD_EPHEMERAL_MAX ephemeral ones */
    size_t n_ephemeral;
    size_t n_init;
    int64_t start_s;
    const char *waiting; /* why no container starts yet */
    char *failed_reason; /* the pod failed as a whole */
    const char *failed_message;
    struct loop_timer *retry;
    struct loop_timer *deadline; /* activeDeadlineSeconds */
    struct loop_timer *grace;
    bool is_ending;
    bool end_is_late; /* the grace period is over */
    uint64_t end_ms;  /* when it is, monotonic */
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

/* ---- pod_facts.c ---- */
/* Something of the pod is another way: pod.c looks at it before the loop waits again. Many times is
 * once. */
void pod_changed(struct pod *p);
void pod_changed_cancel(struct pod *p);
struct pod_container *pod_container_find(struct pod *p, const char *name);
const char *pod_dir_file(const struct pod *p, char *ret, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool pod_anything_runs(const struct pod *p);
enum { POD_GRACE_MAX_S = 86400 };
int64_t pod_grace_s(const struct pod *p);
/* Its next start is a matter of time. */
bool pod_container_waits(const struct pod_container *c);
bool pod_container_restarts(const struct pod_container *c);

/* ---- pod_end.c ---- */
/* Begins the end, or shortens the grace period of one that has begun. */
void pod_end_begin(struct pod *p, int64_t grace_s);
/* Something of an ending pod has ended: asks the next. */
void pod_end_advance(struct pod *p);
void pod_end_grace_over(struct pod *p);

/* ---- pod_container.c ---- */
void pod_container_start(struct pod_container *c);
void pod_container_done(struct pod_container *c);
/* How long to wait before the next start; grows. Pure. */
uint64_t pod_backoff_next(uint64_t *backoff_ms, uint64_t ran_ms);

/* The node knows other images than before: one that waits for its image tries now. */
void pod_container_images_changed(struct pod_container *c);

/* ---- pod_command.c ---- */
/* What it runs; owned. NULL: nobody says. */
char **pod_container_argv(struct pod_container *c, const struct image *image, const struct env *e);

/* ---- pod_process.c ---- */
/* The words of a command. e: what $(NAME) in them stands for; NULL = they are used as they are. */
char **pod_expand_words(const struct env *e, const json_t *list, size_t *ret_n);
/* A further process of the container: same variables, directory and user. Borrows from c. */
struct container_spec pod_container_join(struct pod_container *c, char *const *argv);
/* Starts one, without streams. */
int pod_container_run(struct pod_container *c, const json_t *command, const struct env *e,
                      pid_t *ret_pid, struct err *reterr) NODISCARD;

/* ---- pod_container_end.c ---- */
/* After the start: postStart, then probes. */
void pod_container_post_start(struct pod_container *c);
/* preStop, then the stop signal. Once. */
void pod_container_stop(struct pod_container *c);
/* The same, and SIGKILL after the period, whatever the pod does. */
void pod_container_end(struct pod_container *c, int64_t grace_s);
/* A signal now; a hook that runs is dropped. */
void pod_container_kill(struct pod_container *c, int signo);
/* The process is gone: hooks, probes and timers of this run too. */
void pod_container_ended(struct pod_container *c);

/* ---- pod_hook.c ---- */
typedef void pod_hook_fn(bool ok, const char *text, void *user);
/* Starts a lifecycle handler; done comes later, once, and must free the hook. Never NULL. */
struct pod_hook *pod_hook_start(struct pod_container *c, const json_t *handler, pod_hook_fn *done,
                                void *user);
void pod_hook_free(struct pod_hook *h);

/* ---- pod_http.c: httpGet and tcpSocket actions ---- */
uint16_t pod_action_port(const struct pod_container *c, const json_t *action);
int pod_action_address(const struct pod_container *c, const json_t *action, struct ip *ret)
    NODISCARD;
/* NULL: no usable address. */
struct http_client *pod_http_client(const struct pod_container *c, const json_t *action,
                                    uint64_t timeout_ms);
/* The action that a redirect of this one (of a server at host and port) leads to, with the path and
 * query as its path. Owned; NULL: to another host, or to nowhere. Pure. */
json_t *pod_http_redirect(const json_t *action, struct str location, const char *host,
                          uint16_t port);
/* on_data of such calls: the status decides, whatever the size of the body. */
void pod_http_skip(struct http_call *call, struct str piece, void *user);
struct http_call *pod_http_get(struct http_client *client, const json_t *action,
                               uint64_t timeout_ms, const struct http_call_ops *ops, void *user);

/* ---- pod_security.c ---- */
/* Who the container's processes are and what they may do, later ones included. Borrows from c. */
void pod_security_apply(struct pod_container *c, struct container_spec *s);
/* A securityContext that cannot be honoured. */
int pod_security_check(const struct pod_container *c, struct err *reterr) NODISCARD;
/* The capabilities of a container's securityContext. Pure. */
uint64_t pod_security_capabilities(const json_t *context);

/* ---- pod_services.c ---- */
void pod_services_env(const struct pod *p, const struct informer *services, struct env *e);

/* ---- pod_status.c ---- */
json_t *pod_status_build(struct pod *p);
/* podIP, podIPs, hostIP, hostIPs. status NULL is allowed. */
void pod_status_addresses(const struct pod *p, json_t *status);
/* Sends the status if it changed; one call at a time. */
void pod_status_push(struct pod *p);

/* ---- pod_files.c: /etc/hosts, /etc/resolv.conf, mounts ---- */
int pod_files_make(struct pod *p, struct err *reterr) NODISCARD;
/* Brings the volumes that come from the API up to date. */
int pod_files_update(struct pod *p, struct err *reterr) NODISCARD;
int pod_container_mounts(struct pod_container *c, const struct env *e, container_mounts *ret,
                         struct err *reterr) NODISCARD;
const char *pod_hostname(const struct pod *p);
/* What gethostname() says in it; owned. */
char *pod_kernel_hostname(const struct pod *p);

/* ---- probe_run.c ---- */
void probes_start(struct pod_container *c);
void probes_stop(struct pod_container *c);
void probes_stop_liveness(struct pod_container *c);
/* Recomputes started and ready from the verdicts. */
void probes_settle(struct pod_container *c);

/* ---- kubelet_attach.c: the run is over; its input has room again ---- */
void kubelet_attach_end(struct pod_container *c);
void kubelet_attach_room(struct pod_container *c);

/* ---- kubelet.c ---- */
int kubelet_server_new(struct node *n, struct kubelet_server **ret, struct err *reterr) NODISCARD;
void kubelet_server_free(struct kubelet_server *s);
