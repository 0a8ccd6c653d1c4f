#pragma once
/* One canonical form of a request's path, so that what is matched, authorized, logged and forwarded
 * is the same: RFC 3986 section 6.2.2 (dots, unreserved escapes), and what many servers take for a
 * slash. The query is never looked at. */

#include "base/str.h"

enum url_slashes { /* what is done about %2F and %5C */
                   URL_SLASHES_KEEP,
                   URL_SLASHES_REFUSE,
                   URL_SLASHES_REDIRECT, /* taken as slashes, and the client is told */
                   URL_SLASHES_FORWARD,  /* taken as slashes */
};

struct url_path_rules {
    bool
        normalize; /* . and .., \ as /, escapes of what needs none, and of what does; %00 refused */
    bool merge_slashes;
    uint8_t escaped_slashes; /* enum url_slashes */
};

enum url_path_result {
    URL_PATH_SAME,
    URL_PATH_CHANGED,
    URL_PATH_REDIRECTED, /* changed, by URL_SLASHES_REDIRECT */
    URL_PATH_REFUSED,
};

/* No rule has anything to do with it, as with most paths: no escape, no two slashes, no segment
 * that begins with a dot. */
bool url_path_is_plain(struct str target);
/* How much room the form may take. */
size_t url_path_room(const struct url_path_rules *rules, struct str target);
/* target: a path with its query. to: room for what has changed; *ret_n of it.
 * What does not begin with '/' stays as it is. */
enum url_path_result url_path_canonical(const struct url_path_rules *rules, struct str target,
                                        char *to, size_t *ret_n);
