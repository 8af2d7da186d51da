using System.IO.Hashing;

namespace Diffract.Runs;

/// <summary>Files that are whole or absent: written beside, flushed, renamed.</summary>
public static class AtomicFile
{
    /// <summary>Stands between what this flow of control writes and the disk. Null; a test puts a stream here that fails as a full disk does.</summary>
    public static AsyncLocal<Func<Stream, Stream>?> Through { get; } = new();

    /// <summary>Writes a file through <paramref name="write"/> and returns its length and checksum. What could not be written whole is removed.</summary>
    /// <exception cref="DiffractException">The disk is full, or the file cannot be written there.</exception>
    public static FileSeal Write(string path, Action<Stream> write)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        string beside = path + ".part";
        XxHash128 hash = new();
        long length;
        try
        {
            using FileStream file = new(beside, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
            using HashingStream hashing = new(Through.Value?.Invoke(file) ?? file, hash);
            write(hashing);
            hashing.Flush();
            file.Flush(flushToDisk: true);
            length = file.Length;
        }
        catch (DiffractException)
        {
            // What was to be written has turned out wrong while it was made.
            TryDelete(beside);
            throw;
        }
        catch (IOException e) when (e is not FileNotFoundException)
        {
            // A partial file would hold on to the space that is wanted.
            TryDelete(beside);
            throw new DiffractException($"cannot write {path}: {e.Message}; free some space or choose another folder with --out", inner: e);
        }

        File.Move(beside, path, overwrite: true);
        return new FileSeal(length, Convert.ToHexStringLower(hash.GetCurrentHash()));
    }

    public static FileSeal WriteText(string path, string text) => Write(path, s => s.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>Length and checksum (XXH128) of a file as it stands.</summary>
    public static FileSeal Seal(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
        XxHash128 hash = new();
        hash.Append(file);
        return new FileSeal(file.Length, Convert.ToHexStringLower(hash.GetCurrentHash()));
    }

    static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (IOException)
        {
            // The reason why the file could not be written says more than why it could not be removed.
        }
    }

    sealed class HashingStream(Stream inner, XxHash128 hash) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            hash.Append(buffer);
            inner.Write(buffer);
        }
    }
}

/// <summary>A file's length in bytes and its XXH128 in hexadecimal.</summary>
public sealed record FileSeal(long Bytes, string Xxh128);
