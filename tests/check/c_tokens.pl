#!/usr/bin/perl
# Splits C and C++ files for the checks, one line of output a finding: FILE:LINE:TEXT.
#
#   c_tokens.pl strings FILE...   the string literals, without their quotes
#   c_tokens.pl code FILE...      the lines of code, with comments and literals blanked
#   c_tokens.pl includes FILE...  the names in #include lines
#
# A string literal on a line whose comment says "check: NAME" is left out when NAME is the second
# word of the mode, e.g. "strings:type-names": the exception stands where it is made, with its reason.
use strict;
use warnings;

my ($mode, $exception) = split /:/, shift @ARGV;
for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my @lines = split /\n/, $text, -1;
    my $includes = $mode eq 'includes';
    my $line = 1;
    my $code = '';
    while ($text =~ m{\G(
            (?<comment>/\*.*?\*/|//[^\n]*)
          | (?<include>^[ \t]*\#[ \t]*include[ \t]*[<"][^>"\n]*[>"])
          | (?<string>(?:R"\((?:.*?)\)")|"(?:\\.|[^"\\\n])*")
          | (?<char>'(?:\\.|[^'\\\n])*')
          | (?<newline>\n)
          | (?<other>[^/"'\nR]+|.)
        )}gsxm) {
        my $token = $1;
        if (defined $+{include}) {
            print "$file:$line:$1\n" if $includes && $token =~ /[<"]([^>"]*)/;
            $code .= $token;
        } elsif (defined $+{string}) {
            my $excepted = defined $exception && $lines[$line - 1] =~ /check: \Q$exception\E/;
            print "$file:$line:" . substr($token, 1, -1) . "\n" if $mode eq 'strings' && !$excepted;
            $code .= '""';
        } elsif (defined $+{char}) {
            $code .= "' '";
        } elsif (defined $+{comment}) {
            $code .= ' ';
        } elsif (!defined $+{newline}) {
            $code .= $token;
        }
        if (defined $+{newline}) {
            print "$file:$line:$code\n" if $mode eq 'code' && $code =~ /\S/;
            $code = '';
        }
        $line += ($token =~ tr/\n//);
    }
}
