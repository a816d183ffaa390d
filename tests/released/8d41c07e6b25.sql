INSERT INTO users (id, name, email, email_key, password_hash, created_at, version) VALUES
    (7, 'Анна', 'Anna@example.com', 'anna@example.com', '$argon2id$v=19$m=32,t=1,p=1$2z+Pk1q4y9m0h7c5Zk8b1Q$', '2026-11-24 10:00:00.000001', 3),
    (9, 'Boris', 'boris@example.com', 'boris@example.com', '', '2026-11-24 10:00:01.000000', 1),
    (11, 'Σ', 'ΟΣ@example.com', 'οσ@example.com', '', '2026-11-24 10:00:01.000000', 1);
INSERT INTO sessions (id, user_id, family_hash, refresh_hash, created_at, last_used_at, expires_at, client) VALUES
    (3, 7, 'family', 'secret', '2026-11-24 10:00:02.000000', '2026-11-24 10:00:02.000000', '2099-01-01 00:00:00.000000', 'curl');
INSERT INTO tasks (id, title, description, status, user_id, created_at, updated_at, version, title_key, search_text) VALUES
    (5, 'Купить хлеб', '', 'в процессе', 7, '2026-11-24 10:00:03.000000', '2026-11-24 10:00:04.000000', 2, 'купить хлеб', 'купить хлеб'),
    (6, 'His', 'secret', 'новая', 9, '2026-11-24 10:00:03.000000', '2026-11-24 10:00:03.000000', 1, 'his', 'his secret');
INSERT INTO idempotent_answers (user_id, key, fingerprint, answer, created_at) VALUES
    (7, 'key', 'fingerprint', '{}', '2026-11-24 10:00:03.000000');
