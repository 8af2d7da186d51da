using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>The tensors of a torch file by name: a state dict, or one under <c>state_dict</c> or <c>model_state_dict</c> as training loops save it; what is not a tensor is passed over.</summary>
public sealed unsafe class TorchStateDict : TensorFile
{
    readonly TorchFile _file;
    readonly Dictionary<string, TorchTensor> _tensors = new(StringComparer.Ordinal);
    readonly Dictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    readonly Dictionary<string, HostBuffer> _copies = new(StringComparer.Ordinal);

    /// <exception cref="DiffractException">The file is damaged, or no state dict.</exception>
    public TorchStateDict(string path)
        : base(path)
    {
        _file = new TorchFile(path);
        try
        {
            foreach ((object? key, object? value) in Find().Items)
            {
                if (key is string name && value is TorchTensor tensor)
                {
                    _tensors[name] = tensor;
                    _entries[name] = new TensorEntry(name, tensor.Type, tensor.Shape, 0, tensor.Elements * tensor.ItemBytes, tensor.Elements);
                }
            }
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _entries;

    public override void Dispose()
    {
        foreach (HostBuffer copy in _copies.Values)
        {
            copy.Dispose();
        }

        _copies.Clear();
        _file.Dispose();
    }

    internal override byte* Start(TensorEntry entry)
    {
        TorchTensor tensor = _tensors[entry.Name];
        if (tensor.Contiguous)
        {
            return tensor.First;
        }

        if (!_copies.TryGetValue(entry.Name, out HostBuffer? copy))
        {
            _copies[entry.Name] = copy = new HostBuffer(ElementType.Float32, (entry.Bytes + sizeof(float) - 1) / sizeof(float));
            tensor.CopyTo((byte*)copy.Pointer);
        }

        return (byte*)copy.Pointer;
    }

    PickleDict Find()
    {
        if (_file.Root is not PickleDict root)
        {
            throw new DiffractException($"{FilePath} holds {(_file.Root is TorchTensor ? "one tensor" : "no dict")}, wanted a state dict: torch.save(model.state_dict(), path)");
        }

        foreach (string name in (ReadOnlySpan<string>)["state_dict", "model_state_dict"])
        {
            if (root.TryGet(name, out object? inner) && inner is PickleDict dictionary)
            {
                return dictionary;
            }
        }

        return root;
    }
}
