using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>One shard: whole documents, FirstDocument .. FirstDocument + Documents - 1 of those that are stored, rows FirstRow .. FirstRow + Rows - 1 of the store.</summary>
sealed record ShardPlan(int Number, int FirstDocument, int Documents, long FirstRow, int Rows)
{
    public string FileName => $"shard_{Number:D5}.safetensors";

    /// <summary>Cuts the documents of a store into shards: a function of the documents and the shard size only.</summary>
    public static List<ShardPlan> Of(IReadOnlyList<TokenDocument> documents, int shardTokens)
    {
        List<ShardPlan> shards = [];
        long firstRow = 0;
        for (int first = 0; first < documents.Count;)
        {
            int count = 0, rows = 0;
            while (first + count < documents.Count && (count == 0 || rows + documents[first + count].Rows <= shardTokens))
            {
                rows += documents[first + count++].Rows;
            }

            shards.Add(new ShardPlan(shards.Count, first, count, firstRow, rows));
            first += count;
            firstRow += rows;
        }

        return shards;
    }
}
