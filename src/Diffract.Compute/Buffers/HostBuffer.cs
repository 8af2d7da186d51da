using System.Runtime.InteropServices;

namespace Diffract.Compute.Buffers;

/// <summary>
/// Host memory, 64-byte aligned, zeroed, freed once. A buffer may also stand for memory that somebody else owns
/// (a memory-mapped checkpoint); then disposing it frees nothing.
/// </summary>
public sealed unsafe class HostBuffer : IBuffer
{
    /// <summary>A large page of x86-64 and of most arm64 kernels. Large buffers lie on them where the system has some to give: rows far apart then cost no page walks.</summary>
    const nuint LargePage = 2 << 20;

    static long _allocated;

    void* _pointer;
    readonly bool _owned;
    readonly object? _owner;

    public HostBuffer(ElementType type, long length)
        : this(type, length, static (address, bytes) => NativeMemory.Clear((void*)address, (nuint)bytes))
    {
    }

    /// <summary>Memory that <paramref name="clear"/>(address, bytes) sets to 0: whoever touches it first decides, on a machine with several memories, in which of them it lies.</summary>
    public HostBuffer(ElementType type, long length, Action<nint, long> clear)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Type = type;
        Length = length;
        nuint bytes = (nuint)Bytes(type, length);
        _pointer = NativeMemory.AlignedAlloc(bytes, bytes >= 2 * LargePage ? LargePage : 64);
        if (bytes >= 2 * LargePage && OperatingSystem.IsLinux())
        {
            // A hint: where it is not taken, everything works as before.
            _ = Advise(_pointer, bytes / LargePage * LargePage, 14);
        }

        clear((nint)_pointer, (long)bytes);
        _owned = true;
        GC.AddMemoryPressure((long)bytes);
        Interlocked.Add(ref _allocated, (long)bytes);
    }

    /// <summary>A view of foreign memory; <paramref name="owner"/> is kept alive as long as the view is.</summary>
    public HostBuffer(ElementType type, long length, void* pointer, object owner)
    {
        Type = type;
        Length = length;
        _pointer = pointer;
        _owner = owner;
    }

    /// <summary>Bytes that all buffers of this process own now.</summary>
    public static long AllocatedBytes => Interlocked.Read(ref _allocated);

    public long Length { get; }

    public ElementType Type { get; }

    /// <summary>The first element. Throws once disposed.</summary>
    public void* Pointer => _pointer != null ? _pointer : throw new ObjectDisposedException(nameof(HostBuffer));

    public float* Floats => Typed<float>(ElementType.Float32);

    public double* Doubles => Typed<double>(ElementType.Float64);

    public int* Ints => Typed<int>(ElementType.Int32);

    /// <summary>All elements as a span; fails above 2³¹ − 1 elements.</summary>
    public Span<T> Span<T>()
        where T : unmanaged
        => new(Pointer, checked((int)Length));

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    ~HostBuffer() => Free();

    void Free()
    {
        if (_owned && _pointer != null)
        {
            NativeMemory.AlignedFree(_pointer);
            GC.RemoveMemoryPressure(Bytes(Type, Length));
            Interlocked.Add(ref _allocated, -Bytes(Type, Length));
        }

        _pointer = null;
        GC.KeepAlive(_owner);
    }

    /// <summary>madvise; 14 is MADV_HUGEPAGE.</summary>
    [DllImport("libc", EntryPoint = "madvise")]
    static extern int Advise(void* address, nuint length, int advice);

    static long Bytes(ElementType type, long length) => Math.Max(64, checked(length * type.Size() + 63) / 64 * 64);

    T* Typed<T>(ElementType wanted)
        where T : unmanaged
        => Type == wanted ? (T*)Pointer : throw new InvalidOperationException($"buffer holds {Type}, asked for {wanted}");
}
