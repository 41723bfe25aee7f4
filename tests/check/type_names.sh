#!/usr/bin/env bash
# An SQL type name is spelled in src/types and nowhere else in src/: kal_type_name() and
# kal_type_of() say it everywhere else. The names are read from the list in src/types/type.h and from
# the table of aliases, so a new type is checked from its first day.
#
# A string literal outside src/types fails when
#   1. it is a type name and nothing else: "DATE", "BIGINT", "DECIMAL(10,2)", in capitals, or in any
#      letters when the word means nothing but a type ("bigint");
#   2. it holds, in capitals, a word that means nothing but a type: "expected a BIGINT";
#   3. it is SQL in which an ordinary word (DATE, TEXT, FILE ...) stands where a type stands: after
#      AS in a cast, after ::, or after the name of a column in a CREATE TABLE or ADD COLUMN.
# So "TEXT" as a keyword fails, "no such FILE" and "text" do not. A literal that really is no type
# name says so on its line: /* check: type-names (reason) */.
source "$(dirname "$0")/common.sh"

# Words of English or of SQL that are not types only.
ordinary=" TEXT DATE TIME FILE JSON BYTES TIMESTAMP DOUBLE FLOAT INT REAL STRING BLOB BINARY VECTOR BIT CHAR CHARACTER NAME LONG SERIAL UUID BOOL NUMBER NUMERIC INTEGER DEC "

if [[ ! -f src/types/type.h ]]; then
    echo "there is no src/types/type.h yet"
    exit 77
fi
# The third argument of each X(...) in the list, and the one-word names of the alias table.
names=$({
    sed -n '/define KAL_TYPE_LIST/,/^$/s/.*X([A-Z]*, 0x[0-9A-F]*, "\([A-Z]*\)".*/\1/p' src/types/type.h
    find src/types -name '*.c' -exec sed -n 's/.*{"\([A-Z][A-Z0-9]*\)", KAL_TYPE_.*/\1/p' {} +
} | sort -u)
if [[ $(wc -w <<<"$names") -lt 17 ]]; then
    echo "cannot read the type names from src/types/type.h"
    exit 1
fi
plain=
distinct=
for name in $names; do
    if [[ $ordinary == *" $name "* ]]; then plain+="|$name"; else distinct+="|$name"; fi
done

# shellcheck disable=SC2016  # the program is Perl's
c_files src | grep -v '^src/types/' | tokens strings:type-names |
    DISTINCT=${distinct#|} PLAIN=${plain#|} perl -ne '
    BEGIN { $distinct = $ENV{DISTINCT}; $plain = $ENV{PLAIN}; }
    my ($file, $line, $text) = /^([^:]*):(\d+):(.*)$/s or next;
    chomp $text;
    my $arguments = qr/(?:\s*\([\s\d,%uzd]*\))?/;
    my $found;
    if ($text =~ /^\s*($distinct)$arguments\s*$/i && $text !~ /^boolean$/i) { $found = $1 }
    elsif ($text =~ /^\s*($plain)$arguments\s*$/) { $found = $1 }
    elsif ($text =~ /\b($distinct)\b/) # "boolean" is also a kind of JSON value, "BOOLEAN" is not
    { $found = $1 }
    elsif ($text =~ /(?:\bAS\s+|::\s*)($plain)\b/) { $found = $1 }
    elsif ($text =~ /\b(?:CREATE\b.*\bTABLE|ADD\s+COLUMN|NOT\s+NULL|PRIMARY\s+KEY)\b/ &&
           $text =~ /(?:[a-z]\w*|"|`|%s)\s+($plain)\b/) { $found = $1 }
    print "$file:$line: \"$text\" spells the type $found\n" if defined $found;
' | report "SQL type names outside src/types (use kal_type_name or kal_type_of):"
