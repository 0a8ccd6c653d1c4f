#pragma once
/* Files: a bootstrap, YAML or JSON, into a checked Bootstrap; a DiscoveryResponse. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>
#include <envoy/service/discovery/v3/discovery.pb-c.h>

#include "base/arena.h"
#include "xds/xds_report.h"

enum { XDS_FILE_MAX = 16 << 20 };

/* file is the name for messages; r is empty before. The message lies in a. Errors name file, line
 * and field path; the findings of the check get their lines. What is not what it says it is (YAML,
 * types) goes to reterr alone: -EINVAL, -E2BIG, -ENOMEM. */
int xds_file_parse(struct str text, const char *file, struct arena *a,
                   Envoy__Config__Bootstrap__V3__Bootstrap **ret, struct xds_report *r,
                   struct err *reterr) NODISCARD;
/* The same of a file on disk; "-" is not special. Errors of the system are -errno. */
int xds_file_read(const char *file, struct arena *a, Envoy__Config__Bootstrap__V3__Bootstrap **ret,
                  struct xds_report *r, struct err *reterr) NODISCARD;
/* A DiscoveryResponse, as a file that resources come from holds it; its resources are not checked.
 */
int xds_file_read_response(const char *file, struct arena *a,
                           Envoy__Service__Discovery__V3__DiscoveryResponse **ret,
                           struct err *reterr) NODISCARD;
