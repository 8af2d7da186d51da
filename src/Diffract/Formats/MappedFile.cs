using System.IO.MemoryMappedFiles;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>A file of any size, memory-mapped for reading. An empty one has no bytes to point at.</summary>
public sealed unsafe class MappedFile : IDisposable
{
    readonly MemoryMappedFile? _file;
    readonly MemoryMappedViewAccessor? _view;
    bool _open = true;

    /// <exception cref="DiffractException">The file is missing or cannot be read.</exception>
    public MappedFile(string path)
    {
        FilePath = path;
        if (!File.Exists(path))
        {
            throw new DiffractException($"{path} does not exist");
        }

        try
        {
            Length = CheckpointFiles.Length(path);
            if (Length == 0)
            {
                return;
            }

            _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
            _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _file?.Dispose();
            throw new DiffractException($"cannot open {path}: {e.Message}", inner: e);
        }

        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        Start = start + _view.PointerOffset;
    }

    public string FilePath { get; }

    /// <summary>In bytes.</summary>
    public long Length { get; }

    /// <summary>The first byte.</summary>
    public byte* Start { get; }

    public void Dispose()
    {
        if (_open)
        {
            _open = false;
            _view?.SafeMemoryMappedViewHandle.ReleasePointer();
            _view?.Dispose();
            _file?.Dispose();
        }
    }
}
