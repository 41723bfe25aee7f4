/*
 * type_internal.h: what the files of this folder share and nobody else needs.
 */
#ifndef KAL_TYPES_TYPE_INTERNAL_H
#define KAL_TYPES_TYPE_INTERNAL_H

#include "base/bytes.h"

#define KAL_NAME_SHOWN_BYTES 64

/* A client's name as a message quotes it: cut to leave room for the rest of the message, never
 * inside a UTF-8 character. Borrows. */
static inline kal_bytes kal_name_shown(kal_bytes name)
{
    if (name.len <= KAL_NAME_SHOWN_BYTES)
        return name;
    size_t len = KAL_NAME_SHOWN_BYTES;
    while (len > 0 && (name.ptr[len] & 0xC0) == 0x80)
        len--;
    return kal_bytes_of(name.ptr, len);
}

#endif
