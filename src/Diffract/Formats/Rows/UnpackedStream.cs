using Diffract.Runs;
using ZstdSharp;

namespace Diffract.Formats.Rows;

/// <summary>A file's bytes, unpacked when its first bytes are those of gzip or Zstandard. What goes wrong while they are read is our own error.</summary>
sealed class UnpackedStream : Stream
{
    readonly string _file;
    readonly Stream _inner;

    public UnpackedStream(string file)
    {
        _file = file;
        try
        {
            FileStream raw = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
            Span<byte> first = stackalloc byte[4];
            int got = raw.ReadAtLeast(first, 4, throwOnEndOfStream: false);
            raw.Position = 0;
            _inner = got >= 2 && first is [0x1f, 0x8b, ..] ? new GzipMembers(raw)
                : got == 4 && first is [0x28, 0xb5, 0x2f, 0xfd] ? new DecompressionStream(raw, leaveOpen: false)
                : raw;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {file}: {e.Message}", inner: e);
        }
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        try
        {
            return _inner.Read(buffer);
        }
        catch (Exception e) when (e is InvalidDataException or ZstdException or EndOfStreamException)
        {
            throw new DiffractException($"{_file} cannot be unpacked ({e.Message}); it is damaged or truncated: fetch it again", inner: e);
        }
        catch (IOException e)
        {
            throw new DiffractException($"cannot read {_file}: {e.Message}", inner: e);
        }
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }
}
