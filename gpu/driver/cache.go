package driver

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"syscall"
)

// The disk cache holds one file a program: its SHA-256, then its machine code. A file that is damaged or another user's counts as none;
// one that cannot be written is done without.

// cacheDir returns the directory, made if need be and this user's alone; "" for none. PARDS_CACHE_DIR names another one, "" none.
func cacheDir() string {
	dir, given := os.LookupEnv("PARDS_CACHE_DIR")
	if !given {
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(base, "pards")
	}
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	if about, err := os.Stat(dir); err != nil || !mine(about) || about.Mode().Perm()&0o022 != 0 {
		return ""
	}
	return dir
}

// mine tells whether a file belongs to this user.
func mine(about os.FileInfo) bool {
	stat, ok := about.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// cached returns what is kept under a key, nil for nothing.
func cached(key string) []byte {
	dir := cacheDir()
	if dir == "" {
		return nil
	}
	file, err := os.Open(filepath.Join(dir, key))
	if err != nil {
		return nil
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil || !mine(about) || about.Size() <= sha256.Size {
		return nil
	}
	b := make([]byte, about.Size())
	if n, _ := file.ReadAt(b, 0); n < len(b) || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b) {
		return nil
	}
	return b[sha256.Size:]
}

// keep writes a program, under a name of its own first, so that no reader sees half of it.
func keep(key string, cubin []byte) {
	dir := cacheDir()
	if dir == "" {
		return
	}
	file, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return
	}
	sum := sha256.Sum256(cubin)
	_, err = file.Write(append(sum[:], cubin...))
	if closed := file.Close(); err != nil || closed != nil || os.Rename(file.Name(), filepath.Join(dir, key)) != nil {
		os.Remove(file.Name())
	}
}
