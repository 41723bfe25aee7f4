/*
 * password_common.c: passwords that anybody would try first: the most used ones of published leaks
 * that have the 8 bytes to pass otherwise, and what people choose for a database.
 */
#include "auth/auth_internal.h"

/* Lower case; case is folded when comparing. Shorter ones are refused by their length. */
static const char *const COMMON[] = {
    "00000000",     "01234567",     "0123456789",    "0987654321",   "11111111",     "111111111",
    "1111111111",   "11112222",     "11223344",      "1122334455",   "12121212",     "12312312",
    "123123123",    "123321123",    "1234567890",    "1234567891",   "123456789a",   "12345678910",
    "123456789",    "12345678a",    "12345678",      "12341234",     "1234512345",   "123456abc",
    "123456aa",     "1234abcd",     "1234qwer",      "123abc123",    "123qwe123",    "123qweasd",
    "123qweasdzxc", "12qwaszx",     "147258369",     "147852369",    "159753456",    "18436572",
    "19841984",     "1a2b3c4d",     "1g2w3e4r",      "1q2w3e4r",     "1q2w3e4r5t",   "1q2w3e4r5t6y",
    "1qaz1qaz",     "1qaz2wsx",     "1qaz2wsx3edc",  "1qazxsw2",     "20202020",     "21212121",
    "22222222",     "23232323",     "33333333",      "44444444",     "55555555",     "66666666",
    "77777777",     "78945612",     "789456123",     "87654321",     "88888888",     "98765432",
    "987654321",    "9876543210",   "99999999",      "999999999",    "a1234567",     "a12345678",
    "a123456789",   "a1b2c3d4",     "aa123456",      "aa12345678",   "aaaaaaaa",     "aaaaaaaaaa",
    "abc12345",     "abc123456",    "abcd1234",      "abcd12345",    "abcdefgh",     "abcdefghi",
    "abcdefg1",     "access14",     "adgjmptw",      "admin123",     "admin1234",    "admin12345",
    "admin@123",    "adminadmin",   "administrator", "alexande",     "alexander",    "anderson",
    "angel123",     "anthony1",     "asasasas",      "asd123456",    "asdasdasd",    "asdf1234",
    "asdfasdf",     "asdfghjk",     "asdfghjkl",     "asdfjkl;",     "babygirl",     "babygirl1",
    "barcelona",    "baseball",     "baseball1",     "basketball",   "beautiful",    "benjamin",
    "birthday",     "blink182",     "brooklyn",      "butterfly",    "carolina",     "caroline",
    "changeit",     "changeme",     "changeme1",     "changeme123",  "charlie1",     "charlotte",
    "cheyenne",     "chocolate",    "christian",     "christine",    "cocacola",     "computer",
    "computer1",    "corvette",     "courtney",      "creative",     "database",     "database1",
    "dbadmin1",     "default1",     "dolphins",      "drowssap",     "elephant",     "elizabeth",
    "eminem123",    "facebook",     "family123",     "fernando",     "football",     "football1",
    "forever1",     "freedom1",     "friends1",      "fuckyou1",     "fuckyou2",     "fuckyou123",
    "garfield",     "gateway1",     "godzilla",      "goldfish",     "green123",     "guest123",
    "hannah01",     "hardcore",     "hello123",      "hello1234",    "helloworld",   "internet",
    "iloveyou",     "iloveyou1",    "iloveyou2",     "iloveyou!",    "ilovegod",     "ironman1",
    "jasmine1",     "jennifer",     "jessica1",      "jonathan",     "jordan23",     "justin12",
    "kalamdb1",     "kalamdb123",   "kalamkalam",    "letmein1",     "letmein123",   "letmein!",
    "lasvegas",     "liverpool",    "liverpool1",    "lovelove",     "loveyou1",     "logitech",
    "manchester",   "marlboro",     "master123",     "maverick",     "mercedes",     "metallica",
    "michael1",     "michelle",     "midnight",      "mitchell",     "monkey123",    "mountain",
    "mustang1",     "mypassword",   "mysecret",      "naruto123",    "nathanie",     "nicholas",
    "nintendo",     "november",     "p@ssw0rd",      "p@ssw0rd1",    "p@ssword",     "p4ssw0rd",
    "pa$$w0rd",     "pa55word",     "passpass",      "passw0rd",     "passw0rd1",    "password",
    "password!",    "password1",    "password1!",    "password12",   "password123",  "password123!",
    "password1234", "password2",    "password3",     "password@123", "passwort",     "passwort1",
    "patricia",     "pokemon1",     "pokemon123",    "postgres",     "postgres1",    "president",
    "princess",     "princess1",    "q1w2e3r4",      "q1w2e3r4t5",   "q1w2e3r4t5y6", "qazwsx123",
    "qazwsxedc",    "qazwsxedcrfv", "qqww1122",      "qwaszx12",     "qwe123qwe",    "qweasdzxc",
    "qweqweqwe",    "qwer1234",     "qwer12345",     "qwerqwer",     "qwert123",     "qwert12345",
    "qwerty12",     "qwerty123",    "qwerty1234",    "qwerty12345",  "qwerty123456", "qwertyqwerty",
    "qwertyui",     "qwertyuiop",   "qwertyuiop123", "qwertz123",    "rainbow1",     "redskins",
    "rockstar",     "root1234",     "root12345",     "rootroot",     "rush2112",     "samantha",
    "samsung1",     "samsung123",   "scorpion",      "secret123",    "security",     "sergeant",
    "server123",    "september",    "shadow123",     "skywalker",    "snickers",     "snowball",
    "soccer12",     "spiderman",    "spongebob",     "srinivas",     "starcraft",    "startrek",
    "starwars",     "steelers",     "stephanie",     "strawberry",   "success1",     "summer123",
    "sunflower",    "sunshine",     "sunshine1",     "superman",     "superman1",    "superuser",
    "supervisor",   "swordfish",    "sysadmin",      "system123",    "temp1234",     "temppass",
    "teresa12",     "test1234",     "test12345",     "testtest",     "thomas123",    "thunderbird",
    "tigger123",    "trustno1",     "undertaker",    "user1234",     "veronica",     "victoria",
    "warcraft",     "welcome1",     "welcome12",     "welcome123",   "welcome@123",  "westside",
    "whatever",     "william1",     "windows1",      "winston1",     "woaini1314",   "woaini520",
    "wolverine",    "wordpass",     "xxxxxxxx",      "yankees1",     "yellow12",     "yourmom1",
    "zaq12wsx",     "zaq1zaq1",     "zaqwsxcde",     "zxcvbnm1",     "zxcvbnm123",   "zxczxczxc",
    "zzzzzzzz",
};

bool kal_password_is_common(kal_bytes password)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(COMMON); i++) {
        if (kal_bytes_equal_nocase(password, kal_cstr(COMMON[i])))
            return true;
    }
    return false;
}
