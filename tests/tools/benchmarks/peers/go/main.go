// The ceiling's service in Go: net/http, database/sql and SQLite, one commit a request.
package main

import (
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt"
	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/crypto/argon2"
)

const (
	columns = "id, title, description, status, user_id, created_at, updated_at"
	schema  = `
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,
    description TEXT NOT NULL, status TEXT NOT NULL, user_id BIGINT NOT NULL REFERENCES users,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS tasks_user_id ON tasks (user_id, id);`
	options = "?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=30000"
	readers = 8
)

var (
	errInvalid      = errors.New("invalid request")
	errUnauthorized = errors.New("unauthorized")
	statuses        = map[string]bool{"новая": true, "в процессе": true, "завершена": true}
	parser          = jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
)

type task struct {
	ID          int64  `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Status      string `json:"status"`
	UserID      int64  `json:"user_id"`
	CreatedAt   string `json:"created_at"`
	UpdatedAt   string `json:"updated_at"`
}

type service struct {
	secret                           []byte
	user, read, page, create, update *sql.Stmt
}

// newService opens the database twice: for reads, and, with one connection, for writes.
func newService(url string, secret []byte) *service {
	writes, reads := open(url, 1), open(url, readers)
	must(writes.Exec(schema))
	return &service{
		secret: secret,
		user:   must(reads.Prepare("SELECT id, password_hash FROM users WHERE email = ?")),
		read:   must(reads.Prepare("SELECT " + columns + " FROM tasks WHERE id = ? AND user_id = ?")),
		page:   must(reads.Prepare("SELECT " + columns + " FROM tasks WHERE user_id = ? ORDER BY id LIMIT ?")),
		create: must(writes.Prepare("INSERT INTO tasks (title, description, status, user_id," +
			" created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING " + columns)),
		update: must(writes.Prepare("UPDATE tasks SET title = ?, description = ?, status = ?," +
			" updated_at = ? WHERE id = ? AND user_id = ? RETURNING " + columns)),
	}
}

func open(url string, connections int) *sql.DB {
	db := must(sql.Open("sqlite3", "file:"+strings.TrimPrefix(url, "sqlite:///")+options))
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func (s *service) tasks(r *http.Request, user int64) (int, any, error) {
	switch r.Method {
	case http.MethodGet:
		found, err := s.listTasks(r.URL.Query().Get("limit"), user)
		return http.StatusOK, found, err
	case http.MethodPost:
		sent, err := decode(r)
		if err != nil {
			return 0, nil, err
		}
		created, err := scan(s.create.QueryRow(sent.Title, sent.Description, sent.Status, user, now(), now()))
		return http.StatusCreated, created, err
	}
	return http.StatusMethodNotAllowed, struct{}{}, nil
}

func (s *service) task(r *http.Request, user int64) (int, any, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/tasks/"), 10, 64)
	if err != nil {
		return 0, nil, sql.ErrNoRows
	}
	switch r.Method {
	case http.MethodGet:
		found, err := scan(s.read.QueryRow(id, user))
		return http.StatusOK, found, err
	case http.MethodPut:
		sent, err := decode(r)
		if err != nil {
			return 0, nil, err
		}
		updated, err := scan(s.update.QueryRow(sent.Title, sent.Description, sent.Status, now(), id, user))
		return http.StatusOK, updated, err
	}
	return http.StatusMethodNotAllowed, struct{}{}, nil
}

func (s *service) listTasks(limit string, user int64) ([]task, error) {
	count, err := strconv.Atoi(limit)
	if err != nil || count < 1 || count > 100 {
		return nil, errInvalid
	}
	rows, err := s.page.Query(user, count)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]task, 0, count)
	for rows.Next() {
		next, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, next)
	}
	return found, rows.Err()
}

func scan(row interface{ Scan(...any) error }) (task, error) {
	var t task
	err := row.Scan(&t.ID, &t.Title, &t.Description, &t.Status, &t.UserID, &t.CreatedAt, &t.UpdatedAt)
	return t, err
}

func now() string {
	return time.Now().UTC().Format("2006-01-02T15:04:05.000000-07:00")
}

func decode(r *http.Request) (task, error) {
	var sent task
	err := json.NewDecoder(r.Body).Decode(&sent)
	length := utf8.RuneCountInString(sent.Title)
	if err != nil || length == 0 || length > 200 || !statuses[sent.Status] ||
		utf8.RuneCountInString(sent.Description) > 10_000 {
		return sent, errInvalid
	}
	return sent, nil
}

func (s *service) authenticated(next func(*http.Request, int64) (int, any, error)) endpoint {
	return func(r *http.Request) (int, any, error) {
		var claims jwt.RegisteredClaims
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		key := func(*jwt.Token) (any, error) { return s.secret, nil }
		if _, err := parser.ParseWithClaims(token, &claims, key); err != nil {
			return 0, nil, errUnauthorized
		}
		user, err := strconv.ParseInt(claims.Subject, 10, 64)
		if err != nil {
			return 0, nil, errUnauthorized
		}
		return next(r, user)
	}
}

func (s *service) logIn(r *http.Request) (int, any, error) {
	var id, hash string
	err := s.user.QueryRow(r.PostFormValue("username")).Scan(&id, &hash)
	if err != nil || !matches(r.PostFormValue("password"), hash) {
		return 0, nil, errUnauthorized
	}
	expires := jwt.NewNumericDate(time.Now().Add(time.Hour))
	claims := jwt.RegisteredClaims{Subject: id, ExpiresAt: expires}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(s.secret)
	return http.StatusOK, map[string]string{"access_token": token}, err
}

// matches compares a password with an encoded hash: $argon2id$v=19$m=32,t=1,p=1$salt$key.
func matches(password, hash string) bool {
	var memory, passes uint32
	var threads uint8
	var saltText, keyText string
	_, err := fmt.Sscanf(strings.ReplaceAll(hash, "$", " "), " argon2id v=19 m=%d,t=%d,p=%d %s %s",
		&memory, &passes, &threads, &saltText, &keyText)
	salt, saltErr := base64.RawStdEncoding.DecodeString(saltText)
	key, keyErr := base64.RawStdEncoding.DecodeString(keyText)
	if err != nil || saltErr != nil || keyErr != nil {
		return false
	}
	own := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(own, key) == 1
}

// endpoint returns the status and the value that are sent as JSON, or the error that says why not.
type endpoint func(*http.Request) (int, any, error)

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	status, answer, err := e(r)
	if err != nil {
		status, answer = statusOf(err), struct{}{}
	}
	body := must(json.Marshal(answer))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
	log.Printf("%s %s %d %s", r.Method, r.URL.Path, status, time.Since(started))
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return http.StatusNotFound
	case errors.Is(err, errUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, errInvalid):
		return http.StatusUnprocessableEntity
	}
	log.Print(err)
	return http.StatusInternalServerError
}

func main() {
	port := flag.String("port", "8000", "to listen on")
	flag.Parse()
	s := newService(os.Getenv("DATABASE_URL"), []byte(os.Getenv("SECRET")))
	http.Handle("/auth/token", endpoint(s.logIn))
	http.Handle("/tasks", s.authenticated(s.tasks))
	http.Handle("/tasks/", s.authenticated(s.task))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+*port, nil))
}
