using System.IO.Compression;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tests.Formats;

namespace Diffract.Tests.Crosscoders;

/// <summary>Damaged crosscoders load or are refused, by <see cref="MutatedFiles"/>.</summary>
public sealed class MutatedFilesTests : IDisposable
{
    /// <summary>Managed memory that one load may take: the files are of 30 KB, and the crosscoder and its copies take a few times that.</summary>
    const long MostBytes = 4L << 20;

    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("zip .pt, bytes", "local_batchtopk", "model_final.pt")]
    [InlineData("zip .pt, pickle inside", "local_batchtopk", "model_final.pt")]
    [InlineData("older .pt", "local_legacy_zip_off", "model_final.pt")]
    [InlineData("older .pt, pickles", "local_legacy_zip_off", "model_final.pt")]
    [InlineData("blocks .pt, pickle inside", "blocks_style", "cc_weights.pt")]
    [InlineData("safetensors, bytes", "hub_normalised", "model.safetensors")]
    [InlineData("safetensors, header", "hub_normalised", "model.safetensors")]
    [InlineData("different widths, header", "unequal", "model.safetensors")]
    [InlineData("hub config.json", "hub_l1", "config.json")]
    [InlineData("local config.json", "local_decoupled", "config.json")]
    [InlineData("blocks cfg.json", "blocks_style", "cfg.json")]
    [InlineData("SAELens cfg.json", "saelens", "cfg.json")]
    [InlineData("sparsify cfg.json", "sparsify", "cfg.json")]
    public void Damaged_files_give_our_own_error_in_bounded_memory(string kind, string name, string file)
    {
        string path = Path.Combine(Prepare(name), file);
        byte[] whole = File.ReadAllBytes(path);
        MutatedFiles.Check(kind, MostBytes, mutations => Damage(kind, whole, mutations), damaged =>
        {
            File.WriteAllBytes(path, damaged);
            using Crosscoder crosscoder = CrosscoderFolder.Load(_folder.Path, _backend);
        });
    }

    /// <summary>A folder with sound files.</summary>
    string Prepare(string name)
    {
        if (LayoutWriter.Layouts.ContainsKey(name))
        {
            LooseExport.Run(GoldenFiles.Path("crosscoder/files/hub_sae"), name, _folder.Path, _backend, new SilentProgress());
            return _folder.Path;
        }

        if (name == "unequal")
        {
            CrosscoderConfig config = new(CrosscoderKind.BatchTopK, 12, [3, 5]) { K = 4 };
            using Crosscoder crosscoder = new(config, _backend, ActivationNorm.From(new float[8], [1, 1, 1, 1, 1, 1, 1, 1], 1, config.ModelOffsets));
            CrosscoderFolder.Save(_folder.Path, crosscoder);
            return _folder.Path;
        }

        foreach (string from in Directory.GetFiles(GoldenFiles.Path("crosscoder/files/" + name)))
        {
            File.Copy(from, Path.Combine(_folder.Path, Path.GetFileName(from)));
        }

        return _folder.Path;
    }

    /// <summary>Anywhere, or where checksums would otherwise hide it: in the pickle of an archive that is packed anew, in the head of the older form, in a header.</summary>
    static byte[] Damage(string kind, byte[] whole, Mutations mutations)
    {
        if (kind.EndsWith("pickle inside", StringComparison.Ordinal))
        {
            using ZipArchive zip = new(new MemoryStream(whole));
            List<(string, byte[])> records = [];
            foreach (ZipArchiveEntry entry in zip.Entries)
            {
                using Stream stream = entry.Open();
                using MemoryStream bytes = new();
                stream.CopyTo(bytes);
                bool hit = entry.Name == "data.pkl" || mutations.Next(20) == 0;
                records.Add((entry.FullName, hit ? mutations.Damage(bytes.ToArray()) : bytes.ToArray()));
            }

            return TorchBytes.Zip(records.ToArray());
        }

        int head = kind switch
        {
            "older .pt, pickles" => 1343,
            "safetensors, header" or "different widths, header" => 8 + (int)BitConverter.ToUInt64(whole),
            _ => 0,
        };
        return head > 0 ? [.. mutations.Damage(whole[..head]), .. whole[head..]] : mutations.Damage(whole);
    }
}
