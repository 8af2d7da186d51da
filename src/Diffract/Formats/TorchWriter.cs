using System.Buffers.Binary;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>Writes tensors as torch.save writes a state dict: a zip archive with an OrderedDict of tensors, each contiguous in a storage of its own.</summary>
public sealed class TorchWriter : TensorList
{
    /// <summary>Writes the file, whole or not at all.</summary>
    public FileSeal Save(string path) => Save(path, Pickle());

    /// <summary>Writes the only tensor by itself, as torch.save writes a tensor.</summary>
    /// <exception cref="InvalidOperationException">Other than one tensor.</exception>
    public FileSeal SaveTensor(string path)
        => Tensors.Count == 1 ? Save(path, PickleTensor()) : throw new InvalidOperationException($"{Tensors.Count} tensors are no single one");

    FileSeal Save(string path, byte[] pickle)
    {
        string root = Path.GetFileNameWithoutExtension(path) + "/";
        return AtomicFile.Write(path, stream =>
        {
            ZipWriter zip = new(stream);
            zip.Add(root + "data.pkl", pickle);
            zip.Add(root + "byteorder", Encoding.ASCII.GetBytes("little"));
            for (int i = 0; i < Tensors.Count; i++)
            {
                zip.Add($"{root}data/{i}", Tensors[i].Bytes, Tensors[i].Write);
            }

            zip.Add(root + "version", Encoding.ASCII.GetBytes("3\n"));
            zip.Finish();
        });
    }

    byte[] Pickle()
    {
        using MemoryStream bytes = new();
        PickleBytes pickle = new(bytes);
        pickle.Op(0x80, 2);
        pickle.OrderedDict();
        pickle.Op('(');
        for (int i = 0; i < Tensors.Count; i++)
        {
            pickle.Text(Tensors[i].Name);
            Rebuild(pickle, i);
        }

        pickle.Op('u');
        pickle.Op('.');
        return bytes.ToArray();
    }

    byte[] PickleTensor()
    {
        using MemoryStream bytes = new();
        PickleBytes pickle = new(bytes);
        pickle.Op(0x80, 2);
        Rebuild(pickle, 0);
        pickle.Op('.');
        return bytes.ToArray();
    }

    void Rebuild(PickleBytes pickle, int i)
    {
        (string name, string type, long[] shape, _, long length) = Tensors[i];
        pickle.Global("torch._utils", "_rebuild_tensor_v2");
        pickle.Op('(');
        pickle.Op('(');
        pickle.Text("storage");
        pickle.Global("torch", TorchGlobals.StorageName(type) ?? throw new ArgumentException($"tensor {name}: torch has no storage of {type}"));
        pickle.Text($"{i}");
        pickle.Text("cpu");
        pickle.Number(length / TensorEntry.ElementSize(type));
        pickle.Op('t');
        pickle.Op('Q');
        pickle.Number(0);
        pickle.Tuple(shape);
        pickle.Tuple(Strides(shape));
        pickle.Op(0x89);
        pickle.OrderedDict();
        pickle.Op('t');
        pickle.Op('R');
    }

    static long[] Strides(long[] shape)
    {
        long[] strides = new long[shape.Length];
        long next = 1;
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = next;
            next *= Math.Max(1, shape[i]);
        }

        return strides;
    }

    /// <summary>The few opcodes that a state dict takes.</summary>
    readonly struct PickleBytes(MemoryStream stream)
    {
        public void Op(char op) => stream.WriteByte((byte)op);

        public void Op(params ReadOnlySpan<byte> bytes) => stream.Write(bytes);

        public void OrderedDict()
        {
            Global("collections", "OrderedDict");
            Op(')');
            Op('R');
        }

        public void Global(string module, string name) => stream.Write(Encoding.ASCII.GetBytes($"c{module}\n{name}\n"));

        public void Text(string text)
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            Span<byte> length = stackalloc byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(length, utf8.Length);
            Op('X');
            stream.Write(length);
            stream.Write(utf8);
        }

        public void Number(long value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(long)];
            BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
            bool small = value is >= 0 and <= int.MaxValue;
            Op(small ? [(byte)'J'] : [0x8a, sizeof(long)]);
            stream.Write(small ? bytes[..sizeof(int)] : bytes);
        }

        public void Tuple(long[] values)
        {
            Op('(');
            foreach (long value in values)
            {
                Number(value);
            }

            Op('t');
        }
    }
}
