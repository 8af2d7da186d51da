using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Cpu;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Activations;

/// <summary>Small runs over the embedded pair.</summary>
static class HarvestRuns
{
    public static IBackend Backend(int threads = 2) => new CpuBackend(CpuPaths.Best, threads);

    public static void Tokenize(RunFolder run, string baseModel, string chatModel, long tokens, int seed)
    {
        using ReferenceBackend backend = new();
        TokenizeStage.Run(new StageContext(run, backend, new SilentProgress()), new TokenizeSettings
        {
            BaseModel = baseModel,
            ChatModel = chatModel,
            Texts = [Path.Combine(GoldenFiles.Assets, "documents.jsonl.gz")],
            Chats = [Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")],
            MaxTokens = tokens,
            Seed = seed,
            LeastSplitTokens = 1,
        });
    }

    /// <summary>A checkpoint's files in a folder of their own, writable.</summary>
    public static string Copy(string model, string target)
    {
        Directory.CreateDirectory(target);
        foreach (string file in Directory.GetFiles(model))
        {
            string copy = Path.Combine(target, Path.GetFileName(file));
            File.Copy(file, copy);
            File.SetAttributes(copy, FileAttributes.Normal);
        }

        return target;
    }

    /// <summary>Makes one element of a bf16 tensor NaN.</summary>
    public static void PutNan(string path, string tensor, long element)
    {
        long data;
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        {
            data = file[tensor].Begin + (element * 2);
        }

        using FileStream stream = File.Open(path, FileMode.Open);
        Span<byte> header = stackalloc byte[8];
        stream.ReadExactly(header);
        stream.Position = 8 + BitConverter.ToInt64(header) + data;
        stream.Write([0xC0, 0x7F]);
    }
}
