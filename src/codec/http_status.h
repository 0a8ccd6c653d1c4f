#pragma once
/* Reason phrases of status codes (RFC 9110 section 15 and the registry of IANA). */

#include "base/str.h"

/* "Unknown" for one that has none. Lives as long as the program. */
struct str http_status_text(unsigned status);
