namespace Diffract.Tokens;

/// <summary>How a pair reads its texts, decided before the first is read.</summary>
/// <param name="Vocabulary">Ids that the models know, and what the base model reads in place of some.</param>
/// <param name="SkipFirst">Positions at the beginning of each document that are not stored.</param>
/// <param name="BaseTokenizer">The base model's own tokenizer where each model reads its own tokens; null: both read the chat model's.</param>
sealed record PairPlan(PairVocabulary Vocabulary, int SkipFirst, Tokenizer? BaseTokenizer)
{
    public bool OwnTokens => BaseTokenizer is not null;

    /// <summary>Every token has a row.</summary>
    public bool AllStored => SkipFirst == 0 && !OwnTokens;
}
