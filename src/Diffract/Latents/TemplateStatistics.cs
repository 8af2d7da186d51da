using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>
/// How latents fire on template tokens and beside them (spec 6.4), over chats: by group of tokens, and by bucket of the activation over the latent's maximum (edges 0.1, 0.4, 0.7). Template tokens are numbered 1 to 10, again and
/// again, in reading order. Activations of at most 1e-3 do not count. Names as published.
/// </summary>
public sealed class TemplateStatistics
{
    /// <summary>Template tokens of a turn pair in Gemma's format; where a template has another number, tokens of one number are not of one kind.</summary>
    public const int Numbers = 10;

    /// <summary>Activations must be above it.</summary>
    public const float Above = 1e-3f;

    static readonly float[] Edges = [0.1f, 0.4f, 0.7f];

    readonly Dictionary<string, BucketStatistics> _groups = [];
    readonly Dictionary<string, long> _tokens = [];

    /// <param name="max_L">Largest scaled activation of each latent.</param>
    public TemplateStatistics(float[] max_L)
    {
        foreach (string group in Groups)
        {
            _groups[group] = new BucketStatistics(max_L, Edges, 0);
            _tokens[group] = 0;
        }
    }

    /// <summary>Names of the groups, as the published files have them.</summary>
    public static IReadOnlyList<string> Groups { get; } =
        ["ctrl_tokens", .. Enumerable.Range(1, Numbers).Select(i => $"ctrl_token_{i}"), "non_ctrl_tokens", "assistant_tokens", "user_tokens", "bos"];

    /// <summary>Chats added.</summary>
    public int Chats { get; private set; }

    /// <summary>Tokens of each group.</summary>
    public IReadOnlyDictionary<string, long> Tokens => _tokens;

    /// <summary>Adds a chat; a document, which has no turns, is passed over.</summary>
    /// <param name="roles">Role flags of its tokens.</param>
    /// <param name="entries">What is active, scaled. Tokens beyond the roles are passed over.</param>
    /// <returns>Whether it was a chat.</returns>
    public bool Add(ReadOnlySpan<byte> roles, IEnumerable<TokenEntry> entries)
    {
        List<string>[] groups = new List<string>[roles.Length];
        int template = 0;
        bool chat = false;
        for (int t = 0; t < roles.Length; t++)
        {
            TokenRole role = (TokenRole)roles[t];
            chat |= (role & (TokenRole.Template | TokenRole.User | TokenRole.Assistant)) != 0;
            bool ctrl = (role & TokenRole.Template) != 0, assistant = (role & TokenRole.Assistant) != 0, first = t == 0;
            groups[t] = [];
            Put(ctrl, "ctrl_tokens");
            Put(ctrl, $"ctrl_token_{template % Numbers + 1}");
            template += ctrl ? 1 : 0;
            Put(!ctrl && !first, "non_ctrl_tokens");
            Put(assistant, "assistant_tokens");
            Put(!assistant && !ctrl && !first, "user_tokens");
            Put(first, "bos");

            void Put(bool member, string group)
            {
                if (member)
                {
                    groups[t].Add(group);
                }
            }
        }

        if (!chat)
        {
            return false;
        }

        Chats++;
        foreach (string group in groups.SelectMany(g => g))
        {
            _tokens[group]++;
        }

        foreach (TokenEntry e in entries.Where(e => e.Value > Above && e.Token < groups.Length))
        {
            foreach (string group in groups[e.Token])
            {
                _groups[group].Add(e.Latent, e.Value, e.Value);
            }
        }

        return true;
    }

    /// <summary>A group's statistics.</summary>
    public BucketStatistics Of(string group) => _groups[group];

    /// <summary>The derived columns (spec 6.4) of every latent, over all buckets or of one. Nothing over nothing is NaN.</summary>
    /// <param name="bucket">-1: all.</param>
    public IReadOnlyList<(string Column, double[] Values_L)> Columns(int bucket = -1)
    {
        List<(string, double[])> columns = [];
        string prefix = bucket < 0 ? "lmsys_" : "";
        double N(string group, int j) => bucket < 0 ? Of(group).Count(j) : Of(group).Count(j, bucket);
        double Mean(string group, int j) => bucket < 0 ? Of(group).Mean(j) : Of(group).Mean(j, bucket);
        void Add(string name, Func<int, double> of) => columns.Add((name, [.. Enumerable.Range(0, Of("bos").Latents).Select(of)]));
        foreach (string group in Groups)
        {
            string g = Short(group);
            Add($"lmsys_{g}_freq", j => N(group, j) / _tokens[group]);
            Add($"{g}_mean", j => Mean(group, j));
            Add($"{g}_max", j => bucket < 0 ? Of(group).Max(j) : Of(group).Max(j, bucket));
        }

        double Both(int j) => N("ctrl_tokens", j) + N("non_ctrl_tokens", j);
        double Said(int j) => N("assistant_tokens", j) + N("user_tokens", j);
        Add("lmsys_ctrl_%", j => N("ctrl_tokens", j) / Both(j));
        Add("lmsys_non_ctrl_%", j => N("non_ctrl_tokens", j) / Both(j));
        Add("lmsys_assistant_%", j => N("assistant_tokens", j) / Said(j));
        Add("lmsys_user_%", j => N("user_tokens", j) / Said(j));
        Add("lmsys_bos_%", j => N("bos", j) / (Both(j) + N("bos", j)));
        for (int i = 1; i <= Numbers; i++)
        {
            string group = $"ctrl_token_{i}";
            Add($"{prefix}ctrl_{i}_%", j => N(group, j) / N("ctrl_tokens", j));
        }

        Add("lmsys_freq", j => Both(j) / (_tokens["ctrl_tokens"] + _tokens["non_ctrl_tokens"]));
        // A mean over nothing weighs nothing, instead of making all of it NaN.
        Add("lmsys_avg_act", j => Both(j) == 0 ? double.NaN : (Weighed("ctrl_tokens", j) + Weighed("non_ctrl_tokens", j)) / Both(j));
        return columns;

        double Weighed(string group, int j) => N(group, j) == 0 ? 0 : N(group, j) * Mean(group, j);
    }

    /// <summary>Writes <c>stats.csv</c>, <c>counts.json</c>, <c>latent_stats.csv</c> and <c>latent_stats_global.csv</c>.</summary>
    public void Write(string folder)
    {
        StringBuilder stats = new("token_group,latent,bucket,nonzero count,mean,max\n");
        foreach (string group in Groups)
        {
            BucketStatistics of = Of(group);
            for (int j = 0; j < of.Latents; j++)
            {
                for (int b = 0; b < of.Buckets; b++)
                {
                    stats.Append(CultureInfo.InvariantCulture, $"{group},{j},{b},{of.Count(j, b)},{CsvNumbers.Write(of.Mean(j, b))},{CsvNumbers.Write(of.Max(j, b))}\n");
                }
            }
        }

        AtomicFile.WriteText(Path.Combine(folder, "stats.csv"), stats.ToString());
        AtomicFile.WriteText(Path.Combine(folder, "counts.json"), new JsonObject(_tokens.Select(t => KeyValuePair.Create(t.Key, (JsonNode?)t.Value))).ToJsonString(Provenance.Json) + "\n");
        StringBuilder global = new(), latent = new();
        for (int bucket = -1; bucket < Edges.Length + 1; bucket++)
        {
            IReadOnlyList<(string Column, double[] Values_L)> columns = Columns(bucket);
            StringBuilder into = bucket < 0 ? global : latent;
            if (into.Length == 0)
            {
                into.Append("bucket,latent,").AppendJoin(',', columns.Select(c => c.Column)).Append('\n');
            }

            for (int j = 0; j < Of("bos").Latents; j++)
            {
                into.Append(CultureInfo.InvariantCulture, $"{bucket},{j},").AppendJoin(',', columns.Select(c => CsvNumbers.Write(c.Values_L[j]))).Append('\n');
            }
        }

        AtomicFile.WriteText(Path.Combine(folder, "latent_stats_global.csv"), global.ToString());
        AtomicFile.WriteText(Path.Combine(folder, "latent_stats.csv"), latent.ToString());
    }

    static string Short(string group) => group.StartsWith("ctrl_token_", StringComparison.Ordinal) ? "ctrl_" + group["ctrl_token_".Length..]
        : group.EndsWith("_tokens", StringComparison.Ordinal) ? group[..^"_tokens".Length] : group;
}
