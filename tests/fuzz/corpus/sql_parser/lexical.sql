SELECT/* a /* b */ ; */ 1 -- ;
; SELECT $a$;$a$, $$;'$$, ";""", ';''' ;; SELECT été FROM "😀" WHERE a->'b'->>'c' <> .5e-3;