using System.IO.MemoryMappedFiles;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>A file of the token store mapped for reading; one of another length than its documents need is refused.</summary>
sealed unsafe class MappedBytes : IDisposable
{
    readonly MemoryMappedFile _file;
    readonly MemoryMappedViewAccessor _view;

    public MappedBytes(string path, long bytes)
    {
        long length = new FileInfo(path).Length;
        if (length != bytes)
        {
            throw new DiffractException($"{path} has {length} bytes, its documents need {bytes}: truncated or changed; run `diffract tokenize --fresh`");
        }

        _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* pointer = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        Pointer = pointer + _view.PointerOffset;
    }

    public byte* Pointer { get; }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }
}
