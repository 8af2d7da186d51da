using System.Text;

namespace Diffract.Formats;

/// <summary>
/// The names that a torch pickle may hold, and what is made of a call to one: a dict, a tensor's view, a text. The whole list: whatever else is named is refused by the reader.
/// </summary>
static class TorchGlobals
{
    const string Rebuild = "torch._utils._rebuild_";

    /// <summary>Element types by the name of their storage class and of their dtype.</summary>
    static readonly (string Storage, string Dtype, string Type)[] Types =
    [
        ("FloatStorage", "float32", "F32"),
        ("DoubleStorage", "float64", "F64"),
        ("HalfStorage", "float16", "F16"),
        ("BFloat16Storage", "bfloat16", "BF16"),
        ("LongStorage", "int64", "I64"),
        ("IntStorage", "int32", "I32"),
        ("ShortStorage", "int16", "I16"),
        ("CharStorage", "int8", "I8"),
        ("ByteStorage", "uint8", "U8"),
        ("BoolStorage", "bool", "BOOL"),
        ("", "uint16", "U16"),
        ("", "uint32", "U32"),
        ("", "uint64", "U64"),
        ("", "float8_e4m3fn", "F8_E4M3"),
        ("", "float8_e5m2", "F8_E5M2"),
    ];

    static readonly Dictionary<string, PickleGlobal> Known = List();

    /// <summary>The name, when it is on the list.</summary>
    public static PickleGlobal? Find(string module, string name) => Known.GetValueOrDefault(module + "." + name);

    /// <summary>Type of a storage class; null for another name. <c>U8</c> and true for one whose tensors say what the bytes are.</summary>
    public static (string Type, bool Untyped)? StorageType(PickleGlobal global)
        => global.Name == "UntypedStorage" ? ("U8", true)
            : Types.FirstOrDefault(t => t.Storage == global.Name && global.Module == "torch").Type is { } type ? (type, false) : null;

    /// <summary>The storage class of a type; null for one that has none.</summary>
    public static string? StorageName(string type) => Types.FirstOrDefault(t => t.Type == type && t.Storage.Length > 0).Storage;

    /// <summary>What a call gives; false when the arguments are not those that torch writes.</summary>
    /// <exception cref="FormatException">A tensor that does not lie inside its storage.</exception>
    public static bool Call(PickleGlobal called, object?[] arguments, out object? result)
    {
        result = (called.FullName, arguments) switch
        {
            ("collections.OrderedDict", []) => new PickleDict(),
            ("collections.OrderedDict", [List<object?> pairs]) => Dictionary(pairs),
            ("__builtin__.set" or "builtins.set" or "builtins.frozenset" or "__builtin__.frozenset", [List<object?> items]) => items,
            ("__builtin__.set" or "builtins.set" or "builtins.frozenset" or "__builtin__.frozenset", []) => new List<object?>(),
            ("_codecs.encode", [string text, "latin1"]) => Encoding.Latin1.GetBytes(text),
            ("torch.Size", [PickleTuple sizes]) => sizes,
            ("torch.Size", []) => new PickleTuple([]),
            ("torch.device", [string device]) => device,
            ("torch.device", [string device, long index]) => $"{device}:{index}",
            (Rebuild + "parameter", [TorchTensor tensor, ..]) => tensor,
            (Rebuild + "parameter_with_state", [TorchTensor tensor, ..]) => tensor,
            (Rebuild + "tensor" or Rebuild + "tensor_v2" or Rebuild + "tensor_v3", _) => Tensor(called.FullName, arguments),
            ("torch._tensor._rebuild_from_type_v2", [PickleGlobal { FullName: not "torch._tensor._rebuild_from_type_v2" } function, _, PickleTuple inner, _])
                when Call(function, inner.Items, out object? made) => made,
            _ => null,
        };
        return result is not null;
    }

    static TorchTensor? Tensor(string function, object?[] arguments)
    {
        if (arguments is not [TorchStorage storage, long offset, PickleTuple sizes, PickleTuple strides, ..] || Longs(sizes) is not { } shape || Longs(strides) is not { } steps)
        {
            return null;
        }

        string? type = storage.Type;
        if (function == Rebuild + "tensor_v3")
        {
            type = arguments is [_, _, _, _, _, _, PickleGlobal dtype, ..] ? Dtype(dtype) : null;
        }
        else if (storage.Untyped)
        {
            return null;
        }

        return type is null ? null : new TorchTensor(storage, type, offset, shape, steps);
    }

    static string? Dtype(PickleGlobal global) => global.Module == "torch" ? Types.FirstOrDefault(t => t.Dtype == global.Name).Type : null;

    static long[]? Longs(PickleTuple tuple) => tuple.Items.Length <= 64 && tuple.Items.All(i => i is long) ? Array.ConvertAll(tuple.Items, i => (long)i!) : null;

    static PickleDict? Dictionary(List<object?> pairs)
    {
        PickleDict result = new();
        foreach (object? pair in pairs)
        {
            switch (pair)
            {
                case PickleTuple { Items: [var key, var value] }:
                    result.Set(key, value);
                    break;
                case List<object?> { Count: 2 } list:
                    result.Set(list[0], list[1]);
                    break;
                default:
                    return null;
            }
        }

        return result;
    }

    static Dictionary<string, PickleGlobal> List()
    {
        List<(string Module, string Name)> names =
        [
            ("collections", "OrderedDict"),
            ("__builtin__", "set"),
            ("builtins", "set"),
            ("__builtin__", "frozenset"),
            ("builtins", "frozenset"),
            ("_codecs", "encode"),
            ("torch", "Size"),
            ("torch", "device"),
            ("torch", "Tensor"),
            ("torch.nn.parameter", "Parameter"),
            ("torch._utils", "_rebuild_tensor"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_tensor_v3"),
            ("torch._utils", "_rebuild_parameter"),
            ("torch._utils", "_rebuild_parameter_with_state"),
            ("torch._tensor", "_rebuild_from_type_v2"),
            ("torch.storage", "UntypedStorage"),
            ("torch", "UntypedStorage"),
        ];
        names.AddRange(Types.Where(t => t.Storage.Length > 0).Select(t => ("torch", t.Storage)));
        names.AddRange(Types.Select(t => ("torch", t.Dtype)));
        return names.ToDictionary(n => n.Module + "." + n.Name, n => new PickleGlobal(n.Module, n.Name), StringComparer.Ordinal);
    }
}
