using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

public sealed class TextAlignmentTests
{
    [Theory]

    // "<bos>the old owl" as the|_old|_owl and th|e_|old_o|wl
    [InlineData(new[] { 0, 3, 7, 11 }, new[] { 0, 2, 4, 9, 11 }, new[] { 0, 3 }, new[] { 0, 4 })]

    // three bytes of one character against one token
    [InlineData(new[] { 1, 2, 2, 2, 4 }, new[] { 1, 2, 4 }, new[] { 0, 3, 4 }, new[] { 0, 1, 2 })]

    // a token put after the text has read nothing new
    [InlineData(new[] { 0, 5, 0 }, new[] { 0, 2, 5 }, new[] { 0, 1 }, new[] { 0, 2 })]
    [InlineData(new[] { 3 }, new[] { 4 }, new int[0], new int[0])]
    [InlineData(new int[0], new[] { 4 }, new int[0], new int[0])]
    public void Tokens_belong_together_where_both_end(int[] chat, int[] baseModel, int[] chatTokens, int[] baseTokens)
    {
        (int[] a, int[] b) = TextAlignment.Of(chat, baseModel);
        Assert.Equal(chatTokens, a);
        Assert.Equal(baseTokens, b);
    }

    [Fact]
    public void The_result_is_that_of_trying_every_pair()
    {
        Random random = new(4);
        for (int round = 0; round < 200; round++)
        {
            int[] a = Ends(random), b = Ends(random);
            List<(int, int)> wanted = BruteForce(a, b);
            (int[] chat, int[] baseModel) = TextAlignment.Of(a, b);
            Assert.Equal(wanted, chat.Zip(baseModel));
        }

        static int[] Ends(Random random)
        {
            int end = 0;
            return [.. Enumerable.Range(0, random.Next(40)).Select(_ => end += random.Next(4))];
        }
    }

    /// <summary>All pairs of tokens that have read exactly the same text: equal ends, and on each side the last token that reaches no further.</summary>
    internal static List<(int Chat, int Base)> BruteForce(int[] a, int[] b)
        => [.. from i in Enumerable.Range(0, a.Length)
               from j in Enumerable.Range(0, b.Length)
               where a[i] == b[j] && Last(a, i) && Last(b, j)
               select (i, j)];

    static bool Last(int[] ends, int at) => ends[..at].All(e => e <= ends[at]) && ends[(at + 1)..].All(e => e != ends[at]);
}
