#pragma once
/* The API server's store: every object as its final JSON bytes in memory, the same in SQLite before
 * any write is acknowledged, one counter of versions for everything, and a ring of the newest
 * events for watches. */

#include "base/bytes.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "lab/apiserver/store_managed.h"

struct store;

/* One version of one object; immutable, reference-counted. */
struct object {
    uint32_t refs;
    uint32_t kind;    /* index the API server gives its kinds */
    uint64_t version; /* metadata.resourceVersion */
    char *ns;         /* "" = cluster-scoped */
    char *name;
    char *uid;
    struct bytes *json;                  /* without managedFields */
    struct managed *managed;             /* NULL: none */
    uint32_t metadata_from, metadata_to; /* in json */
    struct object_label {                /* sorted by key */
        char *key;
        char *value;
    } * labels;
    size_t n_labels;
    char **fields; /* selectable fields, as many and in the order the kind says */
    size_t n_fields;
    json_t *cells; /* Table cells, made when first wanted; see api_table.c */
};

struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is allowed */
/* {"metadata":…} as a tree; new reference. Without managedFields, which nobody but clients looks
 * at:
 */
json_t *object_tree(const struct object *o);
json_t *object_tree_managed(const struct object *o);
/* The whole as clients see it; the same without the first `head` bytes but {; its metadata. */
void object_write(struct buf *b, const struct object *o);
void object_write_without(struct buf *b, const struct object *o, size_t head);
void object_write_metadata(struct buf *b, const struct object *o);
/* The same state under another version; a new object that is in no store. */
struct object *object_restamp(const struct store *s, const struct object *o, uint64_t version);

enum store_event_type {
    STORE_ADDED,
    STORE_MODIFIED,
    STORE_DELETED,
};

struct store_event {
    enum store_event_type type;
    uint64_t version;
    struct object
        *object; /* new state; for DELETED the last state, with the version of the deletion */
    struct object *before; /* NULL for ADDED */
};

/* What the store must be told of a kind: its name in the database and the paths of its selectable
 * fields. */
struct store_kind {
    const char *name;               /* "pods", "deployments.apps" */
    const char *const *field_paths; /* n_fields; beside metadata.name and metadata.namespace */
    size_t n_fields;
    /* What a selectable field reads as; NULL: its text, or nothing. The result is the caller's. */
    char *(*field_text)(size_t kind, const char *path, const json_t *object);
};

/* A member as a selector compares it: strings, numbers, true and false; "" for anything else. */
char *store_field_text(const json_t *v);

/* path NULL: in memory only. on_event is told of every committed write, in order. */
int store_open(const char *path, const struct store_kind *kinds, size_t n_kinds,
               void (*on_event)(const struct store_event *e, void *user), void *user,
               struct store **ret, struct err *reterr) NODISCARD;
void store_free(struct store *s);
/* A kind that came later, or whose selectable fields have changed: index < STORE_KINDS_MAX. Its
 * objects are read from the database if they are not in memory. k is copied, what it points to is
 * borrowed. */
enum { STORE_KINDS_MAX = 2048 };
int store_set_kind(struct store *s, uint32_t kind, const struct store_kind *k, struct err *reterr)
    NODISCARD;

uint64_t store_version(const struct store *s); /* of the newest write */
/* The oldest version a watch can start from: a watch from v sees every event after v. */
uint64_t store_oldest_version(const struct store *s);

/* Borrowed; NULL = absent. */
struct object *store_find(const struct store *s, uint32_t kind, const char *ns, const char *name);

/* Objects of a kind in order of (ns, name); index with store_lower_bound to start behind a key. */
size_t store_count(const struct store *s, uint32_t kind);
struct object *store_at(const struct store *s, uint32_t kind, size_t index);
size_t store_lower_bound(const struct store *s, uint32_t kind, const char *ns, const char *name);

/* Writes. managedFields that the tree has not stay as they were. The object's
 * metadata.resourceVersion is set to the new version in place; on_event has
 * run when these return. The result is borrowed from the store. -EIO and the database's words when
 * it could not be committed, -EFBIG if it is too large: nothing has changed. */
int store_put(struct store *s, uint32_t kind, json_t *object, struct object **ret,
              struct err *reterr) NODISCARD;
int store_remove(struct store *s, uint32_t kind, const char *ns, const char *name,
                 json_t *last_state, struct err *reterr) NODISCARD;

/* Events after version, oldest first, borrowed: for (i = store_events_after(s, v); i <
 * store_events_end(s); i++) store_event(s, i). */
uint64_t store_events_after(const struct store *s, uint64_t version);
uint64_t store_events_begin(const struct store *s);
uint64_t store_events_end(const struct store *s);
const struct store_event *store_event(const struct store *s, uint64_t index);
