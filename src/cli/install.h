#pragma once
/* What fairlead install, upgrade and uninstall have in common: what was asked for, what is there,
 * what is to be done. Parts return -1 to go on, or an exit code whose reason they have told. */

#include "chart/chart.h"
#include "chart/release.h"
#include "cli/cli.h"

#define INSTALL_MANAGER "fairlead"

struct install_kind { /* asked once */
    char *api_version, *kind;
    struct kube_resource resource;
    bool known;
};

enum install_verb {
    INSTALL_NEW,
    INSTALL_CHANGED,
    INSTALL_SAME,
    INSTALL_GOES,
    INSTALL_STAYS, /* no longer among it, and yet kept: helm.sh/resource-policy */
};

struct install_change {
    enum install_verb verb;
    json_t *object; /* as it is applied */
    char *what;     /* "deployment.apps/fairlead-control" */
    char *path;
    struct buf fields; /* lines: which fields change */
    bool adopts;       /* Helm's fields become ours */
};

struct install {
    struct cli_session session;
    struct arg_list files, sets, texts;
    bool upgrade;
    bool dry_run, yes, wait, beside_kube_proxy, take_ownership, reset_values, render;
    uint64_t timeout_ms, began_ms;
    int64_t to;            /* a revision; 0 = none */
    const char *late_hint; /* what to do when waiting has been in vain; NULL: go back */

    json_t *chosen; /* the release's config */
    json_t *values; /* what holds */
    struct chart_output output;

    struct release last; /* version 0: there is none */
    char *deployed;      /* its manifest: what is there; NULL: nothing */
    json_t *before;      /* its objects, once there is a plan */
    int64_t oldest;
    char *first_deployed;

    bool namespace_exists;
    VEC(struct install_kind) kinds;
    VEC(struct install_change) plan;
};

void install_done(struct install *in);

/* ---- install_values.c ---- */
/* Files and --set into chosen, over what is there. */
int install_choose(struct install *in);
/* values of chosen, held against the schema. */
int install_check_values(struct install *in);

/* ---- install_server.c ---- */
/* Any answer is 0; else the exit code, told. */
int install_call(struct install *in, const char *method, const char *path, const char *type,
                 const json_t *body, struct kube_reply *ret);
/* The answer of a GET, or NULL: there is none, for whatever reason. Never told. */
json_t *install_get(struct install *in, const char *path);
/* What the server says is wrong; the exit code. */
int install_refused(const char *what, const struct kube_reply *reply);
/* NULL: the server has no such kind. */
const struct kube_resource *install_resource(struct install *in, const json_t *object);
char *install_path(struct install *in, const json_t *object); /* owned; NULL likewise */
char *install_name(const json_t *object); /* "deployment.apps/fairlead-control"; owned */
/* Whose it is, as Helm says it. */
void install_own(json_t *object);
bool install_is_ours(const json_t *live);
/* Server-side apply. */
int install_apply_object(struct install *in, const char *path, const json_t *object, bool dry_run,
                         struct kube_reply *ret);

/* ---- install_release.c ---- */
int install_find_release(struct install *in);
/* Revision `to` becomes what is chosen and put out. */
int install_take_revision(struct install *in);
/* Writes the record with this status; the first time it is made. */
int install_keep(struct install *in, json_t *record, const char *status, const char *description);
/* Those before are superseded, the oldest go. */
void install_supersede(struct install *in, int64_t version);
int install_forget(struct install *in);

/* ---- install_preflight.c ---- */
/* Prints what it finds; EXIT_FINDINGS: something fails. */
int install_preflight(struct install *in);

/* ---- install_plan.c ---- */
int install_plan(struct install *in);
void install_print_plan(const struct install *in);
size_t install_changes(const struct install *in);
/* -1: yes. */
int install_confirm(const struct install *in, const char *question);
/* Lines of the fields in which two objects differ. */
void install_diff(const json_t *before, const json_t *after, struct buf *to);

/* ---- install_apply.c ---- */
int install_make_namespace(struct install *in);
int install_apply_plan(struct install *in);

/* ---- install_wait.c ---- */
/* Until each of these objects (Deployments, DaemonSets; others are ready) is as it was told to be.
 */
int install_wait(struct install *in, const json_t *objects, const enum chart_step *only);
