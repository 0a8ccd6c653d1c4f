#pragma once
/* Matchers of what filters say of a request (envoy.type.matcher.v3.MetadataMatcher): a value by its
 * path below the filter's name. What is not there matches nothing. */

#include <envoy/type/matcher/v3/metadata.pb-c.h>

#include "codec/json.h"
#include "proxy/string_match.h"

struct metadata_match;

/* -EINVAL with the path of what is wrong, -ENOMEM. */
int metadata_match_compile(const Envoy__Type__Matcher__V3__MetadataMatcher *m, struct arena *a,
                           struct pb_path *path, struct metadata_match **ret, struct err *reterr)
    NODISCARD;
/* metadata: an object of objects by the names of filters; NULL: nobody has said anything. */
bool metadata_matches(const struct metadata_match *m, const json_t *metadata);
