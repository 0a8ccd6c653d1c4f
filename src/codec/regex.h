#pragma once
/* Regular expressions of configurations: RE2's language as far as PCRE2 has it, refused where the
 * two differ, and matched without backtracking, so that a pattern's time grows with the text alone
 * (row 49 of the hostile inputs: (a+)+$). Immutable once made; any thread may match. */

#include "base/err.h"
#include "base/str.h"

struct regex;

enum {
    REGEX_BYTES_MAX = 4096, /* of a pattern */
    REGEX_TEXT_MAX = 65536, /* longer texts do not match */
    REGEX_GROUPS_MAX = 32,
};

/* -EINVAL: malformed, or not in RE2's language; -E2BIG: too long. */
int regex_new(struct str pattern, struct regex **ret, struct err *reterr) NODISCARD;
void regex_free(struct regex *r); /* NULL is allowed */
DEFINE_AUTO(regex);
/* Gives back what this thread keeps for matching. */
void regex_thread_done(void);
/* Does it match the whole text? */
bool regex_matches_all(const struct regex *r, struct str text);
/* What every match begins with, as far as that is plain to see; may be empty. */
struct str regex_literal_prefix(const struct regex *r);
/* All places in the text replaced, as RE2::GlobalReplace does: \0 to \9 stand for groups. Appends
 * to to. -EINVAL: the substitution names a group that is not there (see regex_check_substitution);
 * -E2BIG: the text or the result is too long, or matching took too many steps. */
struct buf;
int regex_replace(const struct regex *r, struct str text, struct str substitution, struct buf *to)
    NODISCARD;
int regex_check_substitution(const struct regex *r, struct str substitution, struct err *reterr)
    NODISCARD;
