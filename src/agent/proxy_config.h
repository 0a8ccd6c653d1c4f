#pragma once
/* kube-proxy's configuration file, KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1: read
 * as kube-proxy reads it (what is not known is passed over with a warning, what is wrong is
 * refused), with its defaults. Text in, values and notes out; no effect on anything. */

#include "base/vec.h"
#include "codec/json.h"

enum { PROXY_CONFIG_BYTES_MAX = 1024 * 1024 };

enum proxy_note_kind {
    PROXY_NOTE_ERROR,   /* the file is refused */
    PROXY_NOTE_WARNING, /* passed over: an unknown field */
    PROXY_NOTE_TOLD,    /* known, given, and without effect here */
};

struct proxy_note {
    enum proxy_note_kind kind;
    char *path; /* of the field */
    char *text;
};

struct proxy_config {
    json_t *tree;  /* all fields, with defaults where nothing was given */
    json_t *given; /* as it was in the file, or by flags */
    bool from_file;
    VEC(struct proxy_note) notes;
};

/* All fields at their defaults; mode is what it says. */
void proxy_config_init(struct proxy_config *c, const char *mode);
/* Takes the text of a file. -EINVAL: there are errors among the notes, or it could not be read at
 * all (reterr). */
int proxy_config_read(struct proxy_config *c, struct str text, struct err *reterr) NODISCARD;
void proxy_config_done(struct proxy_config *c);
void proxy_config_note(struct proxy_config *c, enum proxy_note_kind kind, const char *path,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool proxy_config_has_errors(const struct proxy_config *c);
/* What kube-proxy makes of fields that are not set, once mode and addresses are known. */
void proxy_config_complete(struct proxy_config *c);
/* That, and what it checks of the whole (proxy_config_check.c). -EINVAL: see the notes. */
int proxy_config_check(struct proxy_config *c) NODISCARD;

/* A field's value; of a type that fits. */
const char *proxy_config_text(const struct proxy_config *c, const char *path);
int64_t proxy_config_count(const struct proxy_config *c, const char *path);
bool proxy_config_bool(const struct proxy_config *c, const char *path);
uint64_t proxy_config_ms(const struct proxy_config *c, const char *path);
/* Given, and not null. */
bool proxy_config_has(const struct proxy_config *c, const char *path);
/* A gate that is on or off, or what is its default. */
bool proxy_config_gate(const struct proxy_config *c, const char *name, bool fallback);
/* The section that counts for the mode: "nftables", "ipvs" or "iptables". */
const char *proxy_config_section(const struct proxy_config *c);

/* A row of proxy_fields.def, for the documentation. */
struct proxy_field {
    const char *path, *fallback, *text;
    unsigned char type, state;
};
const struct proxy_field *proxy_fields(size_t *ret_n);
const char *proxy_field_state(const struct proxy_field *f);
