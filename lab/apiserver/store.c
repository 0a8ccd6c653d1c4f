/* The store. Memory is what is read; SQLite is what survives.
 *
 * Owns the objects (by reference), one sorted array per kind, the event ring and the database. A
 * write is committed to the database first and shown to readers after, in the same call, so nothing
 * acknowledged can be lost and nothing uncommitted can be seen. The version counter is written with
 * every change, deletions included: a version is never used twice, even after a restart. WAL with
 * synchronous=NORMAL survives the death of the process at any moment (not of the machine).
 * Single-threaded. */
#include "lab/apiserver/store.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

enum {
    EVENTS_KEPT = 16384,
    EVENTS_BYTES_MAX = 256 * 1024 * 1024, /* states before and after, counted for each event */
    OBJECT_BYTES_MAX = 2 * 1024 * 1024,   /* it may grow by patches over what one body can carry */
};

struct table {
    VEC(struct object *) objects; /* sorted by (ns, name) */
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *put, *del, *bump, *begin, *commit, *rollback;
    struct store_kind kinds[STORE_KINDS_MAX];
    size_t n_kinds;
    struct table tables[STORE_KINDS_MAX];
    uint64_t version;
    struct store_event events[EVENTS_KEPT];
    uint64_t events_begin; /* index of the oldest kept */
    uint64_t events_end;
    size_t events_bytes;
    uint64_t oldest_version;
    void (*on_event)(const struct store_event *e, void *user);
    void *user;
};

/* ---- objects ---- */

struct object *object_ref(struct object *o)
{
    o->refs++;
    return o;
}

void object_unref(struct object *o)
{
    if (!o || --o->refs)
        return;
    for (size_t i = 0; i < o->n_labels; i++) {
        free(o->labels[i].key);
        free(o->labels[i].value);
    }
    for (size_t i = 0; i < o->n_fields; i++)
        free(o->fields[i]);
    free(o->labels);
    free(o->fields);
    free(o->ns);
    free(o->name);
    free(o->uid);
    json_decref(o->cells);
    managed_unref(o->managed);
    bytes_unref(o->json);
    free(o);
}

static int label_order(const void *a, const void *b)
{
    return strcmp(((const struct object_label *)a)->key, ((const struct object_label *)b)->key);
}

char *store_field_text(const json_t *v)
{
    if (json_is_string(v))
        return xstrdup(json_string_value(v));
    if (json_is_integer(v))
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
    if (json_is_boolean(v))
        return xstrdup(json_is_true(v) ? "true" : "false");
    return xstrdup("");
}

/* The end of the string that begins at i (its opening quote). */
static size_t skip_string(struct str s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        i += s.p[i] == '\\';
    return i;
}

/* Where the value of the top-level member "metadata" is in stored bytes, which are compact JSON of
 * our own: no tree is made. */
static void find_metadata(struct object *o)
{
    static const char key[] = "\"metadata\":";
    const struct str s = str_of(o->json->p, o->json->n);
    size_t depth = 0, from = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            if (depth == 1 && !from && str_starts(str_sub(s, i, s.n), STR("\"metadata\":")))
                from = i + sizeof(key) - 1;
            i = skip_string(s, i);
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
            if (from && depth == 1) {
                o->metadata_from = (uint32_t)from;
                o->metadata_to = (uint32_t)i + 1;
                return;
            }
        }
    }
}

/* Takes managed. */
static struct object *object_new(const struct store *s, uint32_t kind, const json_t *j,
                                 uint64_t version, struct managed *managed)
{
    struct object *o = NEW(struct object);
    AUTO_DONE(buf) struct buf text = {0};
    const char *ns = json_at_str(j, "metadata.namespace"), *name = json_at_str(j, "metadata.name");
    const char *uid = json_at_str(j, "metadata.uid"), *key;
    json_t *labels = json_at(j, "metadata.labels"), *value;
    o->refs = 1;
    o->kind = kind;
    o->version = version;
    o->ns = xstrdup(ns ? ns : "");
    o->name = xstrdup(name ? name : "");
    o->uid = xstrdup(uid ? uid : "");
    json_write(&text, j);
    o->json = bytes_new(buf_str(&text));
    o->managed = managed;
    find_metadata(o);
    o->labels = xcalloc(json_object_size(labels), sizeof(*o->labels));
    json_object_foreach(labels, key, value) if (json_is_string(value)) o->labels[o->n_labels++] =
        (struct object_label){xstrdup(key), xstrdup(json_string_value(value))};
    if (o->n_labels)
        qsort(o->labels, o->n_labels, sizeof(*o->labels), label_order);
    o->n_fields = s->kinds[kind].n_fields;
    o->fields = xcalloc(o->n_fields, sizeof(*o->fields));
    for (size_t i = 0; i < o->n_fields; i++)
        o->fields[i] = s->kinds[kind].field_text
                           ? s->kinds[kind].field_text(kind, s->kinds[kind].field_paths[i], j)
                           : store_field_text(json_at(j, s->kinds[kind].field_paths[i]));
    return o;
}

/* ---- memory ---- */

size_t store_lower_bound(const struct store *s, uint32_t kind, const char *ns, const char *name)
{
    const struct table *t = &s->tables[kind];
    size_t low = 0, high = t->objects.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct object *o = t->objects.v[mid];
        int d = strcmp(o->ns, ns);
        if (d == 0)
            d = strcmp(o->name, name);
        if (d < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct object *store_find(const struct store *s, uint32_t kind, const char *ns, const char *name)
{
    const struct table *t = &s->tables[kind];
    size_t at = store_lower_bound(s, kind, ns, name);
    if (at == t->objects.n)
        return NULL;
    struct object *o = t->objects.v[at];
    return streq(o->ns, ns) && streq(o->name, name) ? o : NULL;
}

size_t store_count(const struct store *s, uint32_t kind)
{
    return s->tables[kind].objects.n;
}

struct object *store_at(const struct store *s, uint32_t kind, size_t index)
{
    ASSERT(index < s->tables[kind].objects.n);
    return s->tables[kind].objects.v[index];
}

uint64_t store_version(const struct store *s)
{
    return s->version;
}

uint64_t store_oldest_version(const struct store *s)
{
    return s->oldest_version;
}

uint64_t store_events_after(const struct store *s, uint64_t version)
{
    uint64_t low = s->events_begin, high = s->events_end;
    while (low < high) {
        uint64_t mid = (low + high) / 2;
        if (s->events[mid % EVENTS_KEPT].version <= version)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

uint64_t store_events_begin(const struct store *s)
{
    return s->events_begin;
}

uint64_t store_events_end(const struct store *s)
{
    return s->events_end;
}

const struct store_event *store_event(const struct store *s, uint64_t index)
{
    ASSERT(index >= s->events_begin && index < s->events_end);
    return &s->events[index % EVENTS_KEPT];
}

static void event_done(struct store_event *e)
{
    object_unref(e->object);
    object_unref(e->before);
}

static size_t event_bytes(const struct store_event *e)
{
    return e->object->json->n + (e->before ? e->before->json->n : 0);
}

static void drop_oldest(struct store *s)
{
    struct store_event *oldest = &s->events[s->events_begin % EVENTS_KEPT];
    s->oldest_version = oldest->version;
    s->events_bytes -= event_bytes(oldest);
    event_done(oldest);
    s->events_begin++;
}

/* Takes the references. */
static void push_event(struct store *s, enum store_event_type type, struct object *object,
                       struct object *before)
{
    const struct store_event fresh = {type, object->version, object, before};
    s->events_bytes += event_bytes(&fresh);
    while (s->events_end > s->events_begin &&
           (s->events_end - s->events_begin == EVENTS_KEPT || s->events_bytes > EVENTS_BYTES_MAX))
        drop_oldest(s);
    struct store_event *e = &s->events[s->events_end++ % EVENTS_KEPT];
    *e = fresh;
    if (s->on_event)
        s->on_event(e, s->user);
}

/* ---- database ---- */

static int db_error(struct store *s, const char *what, struct err *reterr)
{
    return err_set(reterr, -EIO, NULL, "store: %s: %s", what, sqlite3_errmsg(s->db));
}

static int db_step(struct store *s, sqlite3_stmt *stmt, const char *what, struct err *reterr)
{
    int r = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return r == SQLITE_DONE ? 0 : db_error(s, what, reterr);
}

static void bind_key(sqlite3_stmt *stmt, const struct store *s, uint32_t kind, const char *ns,
                     const char *name)
{
    sqlite3_bind_text(stmt, 1, s->kinds[kind].name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, ns, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, name, -1, SQLITE_STATIC);
}

/* Runs one change and the version bump as one transaction. */
static int db_commit(struct store *s, sqlite3_stmt *change, uint64_t version, struct err *reterr)
{
    int r = db_step(s, s->begin, "begin", reterr);
    if (r < 0)
        return r;
    r = db_step(s, change, "write", reterr);
    sqlite3_bind_int64(s->bump, 1, (sqlite3_int64)version);
    if (r == 0)
        r = db_step(s, s->bump, "version", reterr);
    if (r == 0)
        r = db_step(s, s->commit, "commit", reterr);
    if (r < 0)
        (void)db_step(s, s->rollback, "rollback", NULL);
    return r;
}

static void set_version(json_t *object, uint64_t version)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, version);
    json_put_str(object, "metadata.resourceVersion", text);
}

json_t *object_tree(const struct object *o)
{
    json_t *j = NULL;
    int r = json_parse(str_of(o->json->p, o->json->n), 0, NULL, &j, NULL);
    ASSERT(r == 0); /* the store holds only what this process encoded */
    return j;
}

json_t *object_tree_managed(const struct object *o)
{
    json_t *j = object_tree(o);
    if (o->managed)
        json_put(j, "metadata.managedFields", managed_tree(o->managed));
    return j;
}

/* The bytes from a place on, managedFields as the last of metadata. */
static void write_from(struct buf *b, const struct object *o, size_t from)
{
    size_t end = o->metadata_to ? o->metadata_to - 1 : from;
    if (!o->managed || end < from) {
        buf_add(b, o->json->p + from, o->json->n - from);
        return;
    }
    buf_add(b, o->json->p + from, end - from);
    if (o->json->p[end - 1] != '{')
        buf_add_char(b, ',');
    managed_write(b, o->managed);
    buf_add(b, o->json->p + end, o->json->n - end);
}

void object_write(struct buf *b, const struct object *o)
{
    write_from(b, o, 0);
}

void object_write_without(struct buf *b, const struct object *o, size_t head)
{
    buf_add_char(b, '{');
    write_from(b, o, head);
}

void object_write_metadata(struct buf *b, const struct object *o)
{
    if (!o->metadata_to) {
        buf_add_cstr(b, "{}");
        return;
    }
    buf_add(b, o->json->p + o->metadata_from, o->metadata_to - 1 - o->metadata_from);
    if (o->managed) {
        buf_add_char(b, ',');
        managed_write(b, o->managed);
    }
    buf_add_char(b, '}');
}

/* managedFields go out of a tree: what they are from now on. Nothing said: what they were. */
static struct managed *take_managed(json_t *j, const struct object *before)
{
    json_t *list = json_at(j, "metadata.managedFields");
    if (!list)
        return managed_ref(before ? before->managed : NULL);
    struct managed *m = managed_new(list);
    json_del(j, "metadata.managedFields");
    return m;
}

struct object *object_restamp(const struct store *s, const struct object *o, uint64_t version)
{
    AUTO_JSON json_t *j = object_tree(o);
    set_version(j, version);
    return object_new(s, o->kind, j, version, managed_ref(o->managed));
}

int store_put(struct store *s, uint32_t kind, json_t *j, struct object **ret, struct err *reterr)
{
    ASSERT(kind < s->n_kinds);
    uint64_t version = s->version + 1;
    const char *ns = json_at_str(j, "metadata.namespace"), *name = json_at_str(j, "metadata.name");
    AUTO_JSON json_t *list = json_incref(json_at(j, "metadata.managedFields"));
    struct managed *managed = take_managed(j, store_find(s, kind, ns ? ns : "", name ? name : ""));
    set_version(j, version);
    struct object *o = object_new(s, kind, j, version, managed);
    if (list)
        json_put(j, "metadata.managedFields", json_incref(list));
    if (o->json->n > OBJECT_BYTES_MAX) {
        object_unref(o);
        return err_set(reterr, -EFBIG, NULL, "an object may not be larger than %d bytes",
                       OBJECT_BYTES_MAX);
    }
    bind_key(s->put, s, kind, o->ns, o->name);
    sqlite3_bind_int64(s->put, 4, (sqlite3_int64)version);
    AUTO_DONE(buf) struct buf whole = {0};
    object_write(&whole, o);
    sqlite3_bind_blob64(s->put, 5, whole.p, whole.n, SQLITE_STATIC);
    int r = db_commit(s, s->put, version, reterr);
    if (r < 0) {
        object_unref(o);
        return r;
    }
    s->version = version;
    struct table *t = &s->tables[kind];
    size_t at = store_lower_bound(s, kind, o->ns, o->name);
    struct object *before = at < t->objects.n ? t->objects.v[at] : NULL;
    if (before && streq(before->ns, o->ns) && streq(before->name, o->name)) {
        t->objects.v[at] = object_ref(o);
    } else {
        before = NULL;
        vec_push(&t->objects, NULL);
        memmove(&t->objects.v[at + 1], &t->objects.v[at],
                (t->objects.n - 1 - at) * sizeof(*t->objects.v));
        t->objects.v[at] = object_ref(o);
    }
    push_event(s, before ? STORE_MODIFIED : STORE_ADDED, o, before);
    if (ret)
        *ret = o;
    return 0;
}

int store_remove(struct store *s, uint32_t kind, const char *ns, const char *name,
                 json_t *last_state, struct err *reterr)
{
    struct table *t = &s->tables[kind];
    size_t at = store_lower_bound(s, kind, ns, name);
    struct object *before = store_find(s, kind, ns, name);
    ASSERT(before);
    uint64_t version = s->version + 1;
    set_version(last_state, version);
    struct managed *managed = take_managed(last_state, before);
    struct object *last = object_new(s, kind, last_state, version, managed);
    bind_key(s->del, s, kind, ns, name);
    int r = db_commit(s, s->del, version, reterr);
    if (r < 0) {
        object_unref(last);
        return r;
    }
    s->version = version;
    vec_remove(&t->objects, at);
    push_event(s, STORE_DELETED, last, before);
    return 0;
}

static int db_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *reterr)
{
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return db_error(s, sql, reterr);
    return 0;
}

static int db_open(struct store *s, const char *path, struct err *reterr)
{
    static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"
        "CREATE TABLE IF NOT EXISTS object(kind TEXT, ns TEXT, name TEXT, version INTEGER, json "
        "BLOB,"
        " PRIMARY KEY(kind, ns, name)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY CHECK(id = 1), version INTEGER);"
        "INSERT OR IGNORE INTO counter VALUES(1, 1);";
    if (sqlite3_open_v2(path ? path : ":memory:", &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return db_error(s, path ? path : ":memory:", reterr);
    sqlite3_busy_timeout(s->db, 5000);
    if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return db_error(s, path ? path : ":memory:", reterr);
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } statements[] = {
        {"INSERT OR REPLACE INTO object(kind, ns, name, version, json) VALUES(?, ?, ?, ?, ?)",
         &s->put},
        {"DELETE FROM object WHERE kind = ? AND ns = ? AND name = ?", &s->del},
        {"UPDATE counter SET version = ? WHERE id = 1", &s->bump},
        {"BEGIN IMMEDIATE", &s->begin},
        {"COMMIT", &s->commit},
        {"ROLLBACK", &s->rollback},
    };
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        int r = db_prepare(s, statements[i].sql, statements[i].stmt, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_row(struct store *s, sqlite3_stmt *rows, struct err *reterr)
{
    const char *kind_name = (const char *)sqlite3_column_text(rows, 0);
    AUTO_JSON json_t *j = NULL;
    uint32_t kind = 0;
    while (kind < s->n_kinds && !(s->kinds[kind].name && streq(s->kinds[kind].name, kind_name)))
        kind++;
    if (kind == s->n_kinds)
        return 0; /* a kind of a newer version: kept in the database, not shown */
    int r = json_parse(str_of(sqlite3_column_blob(rows, 2), (size_t)sqlite3_column_bytes(rows, 2)),
                       0, NULL, &j, reterr);
    if (r < 0)
        return r;
    struct managed *managed = take_managed(j, NULL);
    vec_push(&s->tables[kind].objects,
             object_new(s, kind, j, (uint64_t)sqlite3_column_int64(rows, 1), managed));
    return 0;
}

static int load_all(struct store *s, struct err *reterr)
{
    sqlite3_stmt *rows = NULL;
    int r = db_prepare(s, "SELECT version FROM counter WHERE id = 1", &rows, reterr);
    if (r == 0 && sqlite3_step(rows) == SQLITE_ROW)
        s->version = (uint64_t)sqlite3_column_int64(rows, 0);
    sqlite3_finalize(rows);
    rows = NULL;
    if (r == 0)
        r = db_prepare(s, "SELECT kind, version, json FROM object ORDER BY kind, ns, name", &rows,
                       reterr);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW)
        r = load_row(s, rows, reterr);
    sqlite3_finalize(rows);
    if (r == 0 && step != SQLITE_DONE)
        r = db_error(s, "load", reterr);
    s->oldest_version = s->version;
    return r;
}

/* The objects of a kind that were in the database before anybody knew it. */
static int load_kind(struct store *s, uint32_t kind, struct err *reterr)
{
    sqlite3_stmt *rows = NULL;
    int step = SQLITE_DONE,
        r = db_prepare(s, "SELECT kind, version, json FROM object WHERE kind = ? ORDER BY ns, name",
                       &rows, reterr);
    if (r == 0)
        sqlite3_bind_text(rows, 1, s->kinds[kind].name, -1, SQLITE_STATIC);
    while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW)
        r = load_row(s, rows, reterr);
    sqlite3_finalize(rows);
    if (r == 0 && step != SQLITE_DONE)
        r = db_error(s, "load", reterr);
    return r;
}

int store_set_kind(struct store *s, uint32_t kind, const struct store_kind *k, struct err *reterr)
{
    ASSERT(kind < STORE_KINDS_MAX);
    bool known = s->kinds[kind].name != NULL;
    struct table *t = &s->tables[kind];
    s->kinds[kind] = *k;
    s->n_kinds = MAX(s->n_kinds, (size_t)kind + 1);
    if (!known)
        return load_kind(s, kind, reterr);
    for (size_t i = 0; i < t->objects.n;
         i++) { /* others may hold it: a new one, of the same state */
        struct object *o = t->objects.v[i];
        AUTO_JSON json_t *j = object_tree(o);
        t->objects.v[i] = object_new(s, kind, j, o->version, managed_ref(o->managed));
        object_unref(o);
    }
    return 0;
}

int store_open(const char *path, const struct store_kind *kinds, size_t n_kinds,
               void (*on_event)(const struct store_event *e, void *user), void *user,
               struct store **ret, struct err *reterr)
{
    struct store *s = NEW(struct store);
    ASSERT(n_kinds <= STORE_KINDS_MAX);
    memcpy(s->kinds, kinds, n_kinds * sizeof(*kinds));
    s->n_kinds = n_kinds;
    s->on_event = on_event;
    s->user = user;
    int r = db_open(s, path, reterr);
    if (r == 0)
        r = load_all(s, reterr);
    if (r < 0) {
        store_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    sqlite3_stmt *statements[] = {s->put, s->del, s->bump, s->begin, s->commit, s->rollback};
    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        sqlite3_finalize(statements[i]);
    sqlite3_close(s->db);
    for (uint64_t i = s->events_begin; i < s->events_end; i++)
        event_done(&s->events[i % EVENTS_KEPT]);
    for (size_t k = 0; k < s->n_kinds; k++) {
        VEC_FOREACH (o, &s->tables[k].objects)
            object_unref(*o);
        vec_done(&s->tables[k].objects);
    }
    free(s);
}
