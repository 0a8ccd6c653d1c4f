#pragma once
/* Label and field selectors: parsed once, matched often. */

#include "codec/json.h"

struct label {
    const char *key;
    const char *value;
};

enum selector_op {
    SELECTOR_IN,
    SELECTOR_NOT_IN, /* also matches where the key is absent */
    SELECTOR_EXISTS,
    SELECTOR_ABSENT,
    SELECTOR_GT,
    SELECTOR_LT,
};

enum { SELECTOR_REQUIREMENTS_MAX = 256, SELECTOR_VALUES_MAX = 4096 };

struct requirement {
    char *key;
    enum selector_op op;
    char **values;
    size_t n;
};

struct selector {
    struct requirement *v;
    size_t n;
    size_t cap;
    size_t n_values;
};

void selector_done(struct selector *s);

/* "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>3". Empty text selects all. -EINVAL with the server's
 * message. */
int selector_parse_labels(struct str text, struct selector *ret, struct err *reterr) NODISCARD;
/* "metadata.name=x,status.phase!=Running"; a backslash escapes ',', '=' and itself. -EINVAL. */
int selector_parse_fields(struct str text, struct selector *ret, struct err *reterr) NODISCARD;
/* metav1.LabelSelector {matchLabels, matchExpressions}; null selects nothing, {} all: *ret_none
 * tells. -EINVAL. */
int selector_from_object(const json_t *object, struct selector *ret, bool *ret_none,
                         struct err *reterr) NODISCARD;

bool selector_matches(const struct selector *s, const struct label *labels, size_t n);
/* Against a JSON object of strings (metadata.labels); NULL = no labels. */
bool selector_matches_object(const struct selector *s, const json_t *labels);
