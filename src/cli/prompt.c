/*
 * prompt.c: /dev/tty, with and without echo.
 */
#include "cli/prompt.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>

/* Ctrl-C ends the program as usual, but not before the terminal shows letters again. */
static kal_status read_line(FILE *tty, char answer[KAL_PROMPT_BYTES_MAX], kal_error *err)
{
    if (fgets(answer, KAL_PROMPT_BYTES_MAX, tty) == NULL)
        return kal_error_set(err, KAL_CANCELLED, "nothing was typed");
    size_t len = strcspn(answer, "\r\n");
    if (len == KAL_PROMPT_BYTES_MAX - 1)
        return kal_error_set(err, KAL_LIMIT, "the line is too long");
    answer[len] = '\0';
    return KAL_OK;
}

kal_status kal_prompt(const char *question, bool secret, char answer[KAL_PROMPT_BYTES_MAX],
                      kal_error *err)
{
    struct termios before;
    FILE *tty = fopen("/dev/tty", "r+e"); /* owned */

    answer[0] = '\0';
    if (tty == NULL)
        return kal_error_set(err, KAL_NOT_FOUND, "there is no terminal to ask at");
    setvbuf(tty, NULL, _IONBF, 0); /* a secret stays in no buffer; "r+" may not mix them */
    fprintf(tty, "%s: ", question);
    bool hides = secret && tcgetattr(fileno(tty), &before) == 0;
    if (hides) {
        struct termios hidden = before;
        hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
        tcsetattr(fileno(tty), TCSAFLUSH, &hidden);
    }
    kal_status status = read_line(tty, answer, err);
    if (hides) {
        tcsetattr(fileno(tty), TCSAFLUSH, &before);
        fputc('\n', tty);
        if (strchr(answer, 3) != NULL) /* Ctrl-C as a letter */
            status = kal_error_set(err, KAL_CANCELLED, "cancelled");
    }
    fclose(tty);
    return status;
}
