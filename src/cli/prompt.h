/*
 * prompt.h: questions to the person at the terminal, apart from standard input and output.
 */
#ifndef KAL_CLI_PROMPT_H
#define KAL_CLI_PROMPT_H

#include "base/error.h"

#define KAL_PROMPT_BYTES_MAX 1024u

/* Reads a line from the terminal into answer, without its end; secret: it is not shown.
 * KAL_NOT_FOUND when there is no terminal; KAL_CANCELLED at its end; KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_prompt(const char *question, bool secret,
                                     char answer[KAL_PROMPT_BYTES_MAX], kal_error *err);

#endif
