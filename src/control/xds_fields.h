#pragma once
/* Fields of xDS messages by number, for messages written straight into a buffer (codec/pb.h): what
 * is translated thousands of times. */

#include "codec/pb.h"

enum {
#define F(constant, message, field, number) constant = number,
#include "control/xds_fields.def"
#undef F
};

/* Entries of maps. */
enum { F_MAP_KEY = 1, F_MAP_VALUE = 2 };
