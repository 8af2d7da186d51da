using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Llms;

namespace Diffract.Tests.Llms;

/// <summary>The forward pass against Hugging Face transformers, in float32: every block and the logits within max|a-b| ≤ 1e-4 max|b|, greedy ids equal.</summary>
public sealed class LlmGoldenTests
{
    const double Allowed = 1e-4;

    public static string[] Families => ["gemma", "gemma2", "gemma3", "gpt2", "gpt_neox", "llama", "llama3", "mistral", "olmo2", "phi3", "qwen2", "qwen3"];

    public static TheoryData<string, string> FamiliesAndBackends
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (string family in Families)
            {
                foreach (string backend in LlmBackends.Names)
                {
                    data.Add(family, backend);
                }
            }

            return data;
        }
    }

    [Fact]
    public void Every_family_has_a_golden_model()
        => Assert.Equal(LlmFamily.Supported.Keys.Order(), Families.Select(f => LlmConfig.Load(GoldenFiles.Path($"models/{f}")).Family).Distinct().Order());

    [Theory]
    [MemberData(nameof(FamiliesAndBackends))]
    public void A_family_computes_what_transformers_does(string family, string backendName)
    {
        using IBackend backend = LlmBackends.Create(backendName);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"models/{family}/golden.safetensors"));
        using Llm llm = Llm.Load(GoldenFiles.Path($"models/{family}"), backend);
        long[] tokens = golden.Integers("tokens", 2, 48);
        TokenBatch batch = new(96, 2);
        batch.Add(Ids(tokens.AsSpan(0, 48)));
        batch.Add(Ids(tokens.AsSpan(48)));

        int layers = llm.Config.Layers;
        Matrix resid = backend.Matrix(96, llm.Config.Width), logits = backend.Matrix(96, llm.Config.Vocabulary);
        llm.Forward(batch, resid, layers - 1, (i, x) => Close.Max(golden.Floats($"block_{i}"), Floats(backend, x), Allowed, $"block {i}"), AllRows(96), logits);
        Close.Max(golden.Floats("logits"), Floats(backend, logits), Allowed, "logits");
        Assert.Equal(golden.Integers("greedy"), llm.Greedy(Ids(tokens.AsSpan(0, 8)), 24, stopAtEnd: false, TestContext.Current.CancellationToken).Select(i => (long)i));
    }

    [Theory]
    [MemberData(nameof(FamilyNames))]
    public void Both_spellings_of_a_configuration_give_the_same_bits(string family)
    {
        using TinyCheckpoint newer = new(family: family), older = new("config_v4.json", family);
        Assert.Equal(Bits(newer.Save()), Bits(older.Save()));

        static float[] Bits(string model)
        {
            using IBackend backend = LlmBackends.Create("vector");
            using Llm llm = Llm.Load(model, backend);
            TokenBatch batch = new(48, 1);
            batch.Add(Enumerable.Range(3, 48).ToArray());
            Matrix resid = backend.Matrix(48, llm.Config.Width), logits = backend.Matrix(48, llm.Config.Vocabulary);
            llm.Forward(batch, resid, 0, null, AllRows(48), logits);
            return Floats(backend, logits);
        }
    }

    public static TheoryData<string> FamilyNames => [.. Families];

    public static TheoryData<string, string> Pair
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (string model in (string[])["base", "chat"])
            {
                foreach (string backend in LlmBackends.Names)
                {
                    data.Add(model, backend);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Pair))]
    public void The_pair_computes_what_transformers_does(string model, string backendName)
    {
        using IBackend backend = LlmBackends.Create(backendName);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("pair/pair.safetensors"));
        using Llm llm = Llm.Load(Path.Combine(GoldenFiles.Assets, model), backend);
        // The oracle is slow: two of the four rows say as much about it.
        foreach (int r in backendName == "reference" ? [1, 3] : (int[])[0, 1, 2, 3])
        {
            int[] ids = Ids(golden.Integers($"ids_{r}"));
            TokenBatch batch = new(ids.Length, 1);
            batch.Add(ids);
            int[] rows = [.. Enumerable.Range(0, ids.Length).Where(t => t % 8 == 0)];
            Matrix resid = backend.Matrix(ids.Length, llm.Config.Width), logits = backend.Matrix(rows.Length, llm.Config.Vocabulary);
            llm.Forward(
                batch, resid, llm.Config.Layers - 1,
                (i, x) => Close.Max(golden.Floats($"{model}.{r}.block_{i}"), Floats(backend, x), Allowed, $"row {r} block {i}"), rows, logits);
            Close.Max(golden.Floats($"{model}.{r}.logits"), Floats(backend, logits), Allowed, $"row {r} logits");
        }
    }

    [Theory]
    [MemberData(nameof(Pair))]
    public void The_pair_continues_prompts_as_transformers_does(string model, string backendName)
    {
        using IBackend backend = LlmBackends.Create(backendName);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path("pair/pair.safetensors"));
        using Llm llm = Llm.Load(Path.Combine(GoldenFiles.Assets, model), backend);
        for (int i = 0; i < (backendName == "reference" ? 2 : 8); i++)
        {
            int[] ids = llm.Greedy(Ids(golden.Integers($"prompt_{i}")), 40, stopAtEnd: false, TestContext.Current.CancellationToken);
            Assert.Equal(golden.Integers($"{model}.greedy_{i}"), ids.Select(id => (long)id));
        }
    }

    static int[] Ids(ReadOnlySpan<long> ids)
    {
        int[] result = new int[ids.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            result[i] = checked((int)ids[i]);
        }

        return result;
    }

    static int[] AllRows(int count) => [.. Enumerable.Range(0, count)];

    static float[] Floats(IBackend backend, Matrix matrix)
    {
        float[] result = new float[matrix.Rows * matrix.Columns];
        backend.Download(matrix, result);
        return result;
    }
}
