using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
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

    /// <summary>Gives the pages that were read back to the system, which reads them again when they are next asked for. A hint: where it is not taken, nothing changes.</summary>
    public void Release()
    {
        // From the mapping's own first byte, which lies on a page.
        if (_open && Length > 0 && !OperatingSystem.IsWindows())
        {
            _ = Advise(Start - _view!.PointerOffset, (nuint)(Length + _view.PointerOffset), 4);
        }
    }

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

    /// <summary>madvise; 4 is MADV_DONTNEED.</summary>
    [DllImport("libc", EntryPoint = "madvise")]
    static extern int Advise(void* address, nuint length, int advice);
}
