#pragma once
/* JSON: jansson behind the limits and accessors of this project. Objects keep the order of their
 * members, as users expect of their own manifests. json_t is reference-counted: json_decref() or
 * AUTO_JSON. */

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

static inline void json_decrefp_(json_t **j)
{
    json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(json_decrefp_)))

/* Deepest nesting accepted; jansson's own recursion is bounded by 2048. */
enum { JSON_DEPTH_MAX = 512 };

/* Parses a whole text. max_bytes 0 = no limit. -EINVAL with line and column in reterr, -E2BIG over
 * max_bytes, -EOVERFLOW when nested deeper than JSON_DEPTH_MAX. A member that is there twice: the
 * last wins (as in Go); the path of the first such goes to ret_duplicate (may be NULL; at least 128
 * bytes;
 * "" if none). The caller owns *ret. */
int json_parse(struct str text, size_t max_bytes, char *ret_duplicate, json_t **ret,
               struct err *reterr) NODISCARD;

/* The text with null for the value of the first member of this name, an object or array: what
 * nobody wants need not be parsed. Whole if there is none; room holds what is made. Checks nothing.
 */
struct str json_text_without(struct str text, const char *name, struct buf *room);

/* Compact text appended to b. */
void json_write(struct buf *b, const json_t *j);
/* Indented by 4, as kubectl -o json prints. */
void json_write_indented(struct buf *b, const json_t *j);
/* s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void json_write_string(struct buf *b, struct str s);
/* Text from outside as a JSON string, never NULL: bytes that are not UTF-8 (also where a text was
 * cut in the middle of a character) become U+FFFD. */
json_t *json_text(struct str s);
bool json_is_utf8(struct str s);

/* Follows a path of member names separated by dots ("spec.template.metadata"); NULL if absent or
 * null, borrowed. */
json_t *json_at(const json_t *j, const char *path);
/* Is an equal value in it? list NULL: no. */
bool json_array_has(const json_t *list, const json_t *value);
/* True if the tree has at most max values. */
bool json_values_within(const json_t *j, size_t max);
/* The string at path, or NULL if absent or not a string; borrowed. */
const char *json_at_str(const json_t *j, const char *path);
/* The number at path (integers, or strings of digits are not taken), or fallback. */
int64_t json_at_int(const json_t *j, const char *path, int64_t fallback);
bool json_at_bool(const json_t *j, const char *path, bool fallback);
/* The string value of member key, or NULL; borrowed. Unlike a path, key may hold dots (label and
 * annotation names). */
const char *json_key_str(const json_t *j, const char *key);

/* Sets the value at path, making objects on the way; takes value. Never fails: a non-object on the
 * way is replaced. */
void json_put(json_t *j, const char *path, json_t *value);
void json_put_str(json_t *j, const char *path, const char *value);
void json_put_int(json_t *j, const char *path, int64_t value);
/* Removes the member at path if it is there. */
void json_del(json_t *j, const char *path);
